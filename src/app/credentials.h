/* Credentials: what is read from files that may change while the server runs: the certificate, and the keys of tokens.
 *
 * Owns     the TLS context, the keys and the keyring that hands them to the workers.
 * Threads  main. Locks none.
 * Errors   negative errno, after one line in the log. A reload that fails keeps what there is, and says so.
 *
 * A secret of the settings is no file here: it is read with them, once. */
#ifndef APP_CREDENTIALS_H
#define APP_CREDENTIALS_H

#include "auth/keyring.h"
#include "auth/token.h"
#include "net/tls.h"

#include <stdbool.h>

struct settings;

struct credentials {
	struct tls_context *tls; /* NULL: none is configured */
	struct keyring *keyring; /* NULL: tokens are off */
	struct token_rules rules;
};

int credentials_load(const struct settings *, struct credentials *ret);
/* Reads the files again, each by itself, and says in the log what came of each. What is new is in 'tls', and with the
 * keyring's workers. Whether 'tls' is: then the server is to be told. */
bool credentials_reload(const struct settings *, struct credentials *);
void credentials_free(struct credentials *); /* after the workers */

#endif
