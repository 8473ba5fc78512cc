/* The counters: one table of names, a block a thread, summed by the reader.
 *
 * Threads  each block has one writer; readers at any time. Relaxed everywhere: they are statistics, and no
 *          decision hangs on one.
 * Every limit, drop and refusal has a counter here, and a test that moves it. */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdint.h>

/* X(name, help): the name is the key in /stats. */
#define COUNTERS(X)                                                                                \
	X(accepted, "connections accepted")                                                        \
	X(accept_errors, "accept(2) failed, other than for a peer that was gone again")            \
	X(refused_descriptors, "connections refused: out of file descriptors")                     \
	X(refused_full, "connections refused: a limit on connections")                             \
	X(refused_address, "connections refused: too many of one address")                         \
	X(refused_plaintext, "connections refused: plain text from where it is not allowed")       \
	X(proxy_malformed, "connections ended: no PROXY header from a trusted network")            \
	X(tls_handshakes, "TLS handshakes done")                                                   \
	X(tls_failed, "TLS handshakes failed")                                                     \
	X(tls_misplaced, "connections ended: TLS at a port for plain text")                        \
	X(upgrades, "WebSockets opened")                                                           \
	X(upgrade_refused, "HTTP requests that were no upgrade to a WebSocket")                    \
	X(origin_refused, "WebSockets refused: their origin")                                      \
	X(bad_frames, "WebSockets ended: frames that break RFC 6455")                              \
	X(open_messages_refused, "WebSockets ended: too many or too long open messages")           \
	X(pings, "pings sent to silent WebSockets")                                                \
	X(token_failed, "tokens that were not accepted")                                           \
	X(login_rate_limited, "logins refused: too many failed from their address")                \
	X(message_rate_limited, "sessions ended: too many messages")                               \
	X(bytes_in, "bytes read from clients")                                                     \
	X(bytes_out, "bytes taken by the kernel for clients")                                      \
	X(messages_in, "messages from clients, heartbeats included")                               \
	X(heartbeats, "heartbeats answered")                                                       \
	X(logins, "sessions begun, or gone on with")                                               \
	X(takeovers, "sessions begun in place of a live one of the same device")                   \
	X(resumed, "sessions gone on with, in their grace or by their secret")                     \
	X(evicted, "sessions replaced because their user had too many")                            \
	X(updates, "updates applied")                                                              \
	X(watches_added, "watches added")                                                          \
	X(watches_removed, "watches removed, by request or with their connection")                 \
	X(watch_refused, "watch requests over a limit")                                            \
	X(queries, "queries answered")                                                             \
	X(ended_logout, "sessions ended: bye")                                                     \
	X(ended_closed, "sessions ended: FIN")                                                     \
	X(ended_reset, "sessions ended: RST")                                                      \
	X(ended_timeout, "sessions ended: silence")                                                \
	X(ended_slow, "sessions ended: did not read")                                              \
	X(ended_violation, "sessions ended: broke the protocol")                                   \
	X(ended_kicked, "sessions ended: by the operator")                                         \
	X(ended_expired, "sessions ended: their token expired")                                    \
	X(grace_began, "sessions whose connection ended, and that wait for their grace")           \
	X(grace_over, "sessions ended as nobody came back in their grace")                         \
	X(resume_late, "sessions gone on with whose watches were not there in time")               \
	X(connections_lost, "connections dropped on a socket error that says nothing of the peer") \
	X(error_bad_json, "errors sent: bad_json")                                                 \
	X(error_bad_message, "errors sent: bad_message")                                           \
	X(error_unknown_type, "errors sent: unknown_type")                                         \
	X(error_already_hello, "errors sent: already_hello")                                       \
	X(error_line_too_long, "errors sent: line_too_long")                                       \
	X(error_hello_required, "errors sent: hello_required")                                     \
	X(error_version, "errors sent: version")                                                   \
	X(error_auth_required, "errors sent: auth_required")                                       \
	X(error_auth_failed, "errors sent: auth_failed")                                           \
	X(error_forbidden, "errors sent: forbidden")                                               \
	X(error_too_many_watches, "errors sent: too_many_watches")                                 \
	X(error_server_full, "errors sent: server_full")                                           \
	X(error_rate_limited, "errors sent: rate_limited")                                         \
	X(hello_timeouts, "connections ended: no valid hello in time")                             \
	X(hello_replies_cut, "connections ended: more than 1 KiB of replies before a hello")       \
	X(lingering_cut, "closes that could not linger: too many did")                             \
	X(events, "presence events made")                                                          \
	X(events_mailed, "events put into a worker's mailbox")                                     \
	X(events_delivered, "presence messages written to watchers")                               \
	X(events_skipped, "presence messages not written: a newer one took their place")           \
	X(mailbox_full, "events that met a full mailbox and left a resync instead")                \
	X(resyncs, "times a worker read again all that it watches")                                \
	X(feed_lost, "events that the event log could not take: its followers begin again")        \
	X(feed_events, "events put into the event log")                                            \
	X(feed_gaps, "times the event log began anew, because events were lost to it")             \
	X(history_forgotten, "users whose history was forgotten for that of others")               \
	X(streams, "event streams opened by HTTP")                                                 \
	X(streams_refused, "event streams refused: too many")                                      \
	X(stream_resets, "followers of all events who had to begin again")                         \
	X(mail_stale, "mail for what was already gone")                                            \
	X(nominated, "silent sessions nominated for a hearing")                                    \
	X(heard_alive, "nominated sessions whose bytes were waiting")                              \
	X(heard_silent, "nominated sessions heard and silent")                                     \
	X(mistakes, "sessions whose bytes came after they had been expired")                       \
	X(forgotten, "offline users forgotten")                                                    \
	X(paused, "times a connection was not read because it did not take its replies")           \
	X(store_batches, "transactions written to the store")                                      \
	X(store_users, "users written to the store")                                               \
	X(store_rewrites, "times the whole state was written to the store")                        \
	X(store_errors, "times the store could not be written")                                    \
	X(store_skipped, "rows of the store that made no sense at the start, and were left out")   \
	X(wakeups, "wake-ups written to a sleeping thread")                                        \
	X(out_of_memory, "allocations refused")

#define COUNTER_ENUM(name, help) COUNTER_##name,
enum counter { COUNTERS(COUNTER_ENUM) COUNTER_N };
#undef COUNTER_ENUM

struct counters {
	/* atomic: the owning thread -> readers */
	_Atomic uint64_t values[COUNTER_N];
} CACHE_ALIGNED;

const char *counter_name(enum counter);
const char *counter_help(enum counter);

/* By the block's owner only: a load and a store, no locked instruction. */
static inline void counter_add(struct counters *c, enum counter which, uint64_t n)
{
	uint64_t value = atomic_load_explicit(&c->values[which], memory_order_relaxed);
	atomic_store_explicit(&c->values[which], value + n, memory_order_relaxed);
}

static inline uint64_t counter_read(const struct counters *c, enum counter which)
{
	return atomic_load_explicit(&c->values[which], memory_order_relaxed);
}

#endif
