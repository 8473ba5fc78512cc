/* The field's terms that more than one room speaks: states and reasons, one table each.
 *
 * The words are those of the protocol (README, "The protocol"); the order of the states is their
 * rank: a user is shown in the highest state that one of its devices is in. */
#ifndef BASE_TERMS_H
#define BASE_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#define STATES(X)                                                                                  \
	X(OFFLINE, "offline")                                                                      \
	X(AWAY, "away")                                                                            \
	X(ONLINE, "online")                                                                        \
	X(BUSY, "busy")                                                                            \
	X(INVISIBLE, "invisible") /* of a device only; counts nowhere */

#define REASONS(X)                                                                                 \
	X(UNKNOWN, "unknown")                                                                      \
	X(LOGIN, "login")                                                                          \
	X(UPDATE, "update")                                                                        \
	X(LOGOUT, "logout")                                                                        \
	X(CLOSED, "closed")                                                                        \
	X(RESET, "reset")                                                                          \
	X(TIMEOUT, "timeout")                                                                      \
	X(KICKED, "kicked")                                                                        \
	X(EXPIRED, "expired")                                                                      \
	X(SLOW, "slow")                                                                            \
	X(VIOLATION, "violation")                                                                  \
	X(REPLACED, "replaced") /* in a bye only */                                                \
	X(SHUTDOWN, "shutdown") /* in a bye only */

#define TERM_ENUM_STATE(name, word) STATE_##name,
enum state { STATES(TERM_ENUM_STATE) STATE_N };
#undef TERM_ENUM_STATE

#define TERM_ENUM_REASON(name, word) REASON_##name,
enum reason { REASONS(TERM_ENUM_REASON) REASON_N };
#undef TERM_ENUM_REASON

const char *state_word(enum state);
const char *reason_word(enum reason);

/* Both return false, and leave '*ret' alone, for a word that isn't one. */
bool state_parse(const char *word, size_t len, enum state *ret);
bool reason_parse(const char *word, size_t len, enum reason *ret);

/* Lengths in bytes of UTF-8 after unescaping; the protocol's. */
enum {
	USER_MAX = 128,
	DEVICE_MAX = 64,
	STATUS_MAX = 256,
	REQUEST_ID_MAX = 64,
	REQUEST_USERS_MAX = 1000
};

#endif
