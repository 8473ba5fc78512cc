/* The words and texts of <presence.h>: the part of it that needs no client. */
#include "base/compiler.h"
#include "presence.h"

#include <time.h>

const char *presence_error_word(enum presence_error error)
{
	switch (error) {
	case PRESENCE_OK:
		return "ok";
#define CASE(name, number, word, text)                                                             \
	case PRESENCE_ERROR_##name:                                                                \
		return word;
		PRESENCE_ERRORS(CASE)
#undef CASE
	}
	return "?";
}

const char *presence_error_text(enum presence_error error)
{
	switch (error) {
	case PRESENCE_OK:
		return "no error";
#define CASE(name, number, word, text)                                                             \
	case PRESENCE_ERROR_##name:                                                                \
		return text;
		PRESENCE_ERRORS(CASE)
#undef CASE
	}
	return "unknown error";
}

bool presence_error_is_final(enum presence_error error)
{
	return error >= PRESENCE_ERROR_REPLACED && error <= PRESENCE_ERROR_TOKEN;
}

/* The number comes from the application, and may be any. */
static const char *word_of(const char *const *words, size_t n, unsigned number)
{
	return number < n ? words[number] : "?";
}

const char *presence_truth_word(enum presence_truth truth)
{
	static const char *const words[] = {
		[PRESENCE_UNKNOWN] = "unknown",
		[PRESENCE_OFFLINE] = "offline",
		[PRESENCE_ONLINE] = "online",
	};
	return word_of(words, ARRAY_LEN(words), (unsigned)truth);
}

const char *presence_state_word(enum presence_state state)
{
	static const char *const words[] = {
		[PRESENCE_STATE_NONE] = "none",
		[PRESENCE_STATE_OFFLINE] = "offline",
		[PRESENCE_STATE_AWAY] = "away",
		[PRESENCE_STATE_ONLINE] = "online",
		[PRESENCE_STATE_BUSY] = "busy",
		[PRESENCE_STATE_INVISIBLE] = "invisible",
	};
	return word_of(words, ARRAY_LEN(words), (unsigned)state);
}

const char *presence_reason_word(enum presence_reason reason)
{
	static const char *const words[] = {
		[PRESENCE_REASON_UNKNOWN] = "unknown",
		[PRESENCE_REASON_LOGIN] = "login",
		[PRESENCE_REASON_UPDATE] = "update",
		[PRESENCE_REASON_LOGOUT] = "logout",
		[PRESENCE_REASON_CLOSED] = "closed",
		[PRESENCE_REASON_RESET] = "reset",
		[PRESENCE_REASON_TIMEOUT] = "timeout",
		[PRESENCE_REASON_KICKED] = "kicked",
		[PRESENCE_REASON_EXPIRED] = "expired",
		[PRESENCE_REASON_SLOW] = "slow",
		[PRESENCE_REASON_VIOLATION] = "violation",
	};
	return word_of(words, ARRAY_LEN(words), (unsigned)reason);
}

const char *presence_link_word(enum presence_link link)
{
	static const char *const words[] = {
		[PRESENCE_LINK_STOPPED] = "stopped",
		[PRESENCE_LINK_WAITING] = "waiting",
		[PRESENCE_LINK_CONNECTING] = "connecting",
		[PRESENCE_LINK_UP] = "up",
	};
	return word_of(words, ARRAY_LEN(words), (unsigned)link);
}

uint64_t presence_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now); /* can't fail since Linux 2.6.39 */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const char *presence_version(void)
{
	return PRESENCED_VERSION;
}
