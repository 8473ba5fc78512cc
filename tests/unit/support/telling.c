#include "telling.h"

char told[16384];

FILE *start_telling(void)
{
	FILE *f = tmpfile();

	assert_non_null(f);
	return f;
}

void stop_telling(FILE *f)
{
	rewind(f);
	size_t len = fread(told, 1, sizeof(told) - 1, f);
	told[len] = '\0';
	fclose(f);
}

unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

int load_settings(const char *const environment[], struct settings *ret)
{
	FILE *f = start_telling();
	int err = settings_load((char *const *)environment, f, ret);

	stop_telling(f);
	return err;
}
