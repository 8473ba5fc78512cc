/* A stream: the bytes of a connection to lines and back, through TLS and WebSocket where the URL says so.
 *
 * No socket, no clock: bytes that came are given to it, and those to be sent lie in its buffer. OpenSSL works on memory
 * of its own, so that it never touches a descriptor, nor raises a signal.
 * Threads  one at a time. Memory a little in plain text; 40 KB in TLS, 9 KB in WebSocket. What may come in one message
 *          is bounded.
 * Errors   struct ending, filled in on failure; then the stream is of no more use. */
#ifndef CLIENT_STREAM_H
#define CLIENT_STREAM_H

#include "base/buffer.h"
#include "client/c/client.h"

enum { STREAM_LINE_MAX = 1 << 20 }; /* a reply has 64 KiB, and what is longer is none */

/* -ENOMEM. 'tls_context' is an SSL_CTX, for the URLs that need one. What opens it (a handshake, a request) is to be
 * sent already. */
int stream_new(const struct server_url *, void *tls_context, struct stream **ret);
void stream_free(struct stream *);

/* Bytes came. 0, or -1 with '*ret'. */
int stream_receive(struct stream *, const char *data, size_t len, struct ending *ret);

/* Lines may be sent, and come: TLS and WebSocket are open. */
bool stream_is_open(const struct stream *);

/* The next line, good until the next call; false where none is whole. */
bool stream_next_line(struct stream *, const char **ret_line, size_t *ret_len);

/* The other side said that nothing follows (a close frame); what came before it is still to be read. */
bool stream_has_ended(const struct stream *);

/* Sends whole lines. 0, or -1 with '*ret'. */
int stream_send(struct stream *, const char *lines, size_t len, struct ending *ret);

/* Bytes for the socket; those that were taken are removed from its front by the caller. */
struct buffer *stream_output(struct stream *);

/* --- stream_tls.c --- */

struct stream_tls;

/* -EINVAL: the file can't be loaded; -ENOMEM. */
int stream_tls_context_new(const char *ca_file, void **ret);
void stream_tls_context_free(void *);

/* Begins a handshake: 'output' is where bytes for the socket go. */
int stream_tls_new(
	void *context, const struct server_url *, struct buffer *output, struct stream_tls **ret);
void stream_tls_free(struct stream_tls *);
bool stream_tls_is_open(const struct stream_tls *);

/* Bytes from the socket; what they say is appended to 'plain'. The other side's end is none of an error. */
int stream_tls_receive(struct stream_tls *, const char *data, size_t len, struct buffer *plain,
	struct ending *ret);
int stream_tls_send(struct stream_tls *, const char *data, size_t len, struct ending *ret);

/* --- stream_web.c --- */

struct stream_web;

int stream_web_new(const struct server_url *, struct stream_web **ret);
void stream_web_free(struct stream_web *);
bool stream_web_is_open(const struct stream_web *);
bool stream_web_has_ended(const struct stream_web *);

/* What opens it, to be sent first. */
void stream_web_put_request(struct stream_web *, struct buffer *to);

/* Bytes; their messages are appended to 'lines', each with its '\n', and answers to pings to 'answers'. */
int stream_web_receive(struct stream_web *, const char *data, size_t len, struct buffer *lines,
	struct buffer *answers, struct ending *ret);

/* Whole lines, each a message. */
void stream_web_put(struct stream_web *, const char *lines, size_t len, struct buffer *to);

#endif
