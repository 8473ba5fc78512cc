/* A fuzzer's inputs once more, without libFuzzer: every file named, and every file in the folders named.
 * Linked with one fuzz_*.c; part of the tests, so that what was found stays found. */
#include "fuzz.h"

#include "base/compiler.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void close_file(FILE **file)
{
	if (*file != NULL)
		fclose(*file);
}

/* 0 or negative errno. The bytes lie in a block of exactly their size, for the sanitizers' sake. */
static int replay_file(const char *path, size_t size)
{
	FILE *CLEANUP(close_file) file = fopen(path, "rb");
	uint8_t *data;

	if (file == NULL)
		return -errno;
	data = malloc(size);
	if (data == NULL && size > 0)
		return -ENOMEM;
	if (size > 0 && fread(data, 1, size, file) != size) {
		free(data);
		return -EIO;
	}
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

static int replay_path(const char *path, unsigned *n);

static int replay_folder(const char *path, unsigned *n)
{
	struct dirent **entries;
	int n_entries = scandir(path, &entries, NULL, alphasort);
	int err = 0;

	if (n_entries < 0)
		return -errno;
	for (int i = 0; i < n_entries; i++) {
		char inside[4096];

		if (entries[i]->d_name[0] != '.' && err == 0) {
			snprintf(inside, sizeof(inside), "%s/%s", path, entries[i]->d_name);
			err = replay_path(inside, n);
		}
		free(entries[i]);
	}
	free(entries);
	return err;
}

static int replay_path(const char *path, unsigned *n)
{
	struct stat st;
	int err;

	if (stat(path, &st) != 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return replay_folder(path, n);
	err = replay_file(path, (size_t)st.st_size);
	*n += err == 0;
	return err;
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	for (int i = 1; i < argc; i++) {
		int err = replay_path(argv[i], &n);

		if (err != 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-err));
			return 1;
		}
	}
	printf("%u inputs replayed\n", n);
	return n > 0 ? 0 : 1;
}
