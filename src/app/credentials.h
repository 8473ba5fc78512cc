/* Credentials: what is read from files that may change while the server runs: the certificate, and the keys of tokens.
 *
 * Owns     the TLS context, the keys and the keyring that hands them to the workers.
 * Threads  main. Locks none.
 * Errors   negative errno, after one line in the log. A reload that fails keeps what there is, and says so. */
#ifndef APP_CREDENTIALS_H
#define APP_CREDENTIALS_H

#include "auth/keyring.h"
#include "auth/token.h"
#include "net/tls.h"

struct settings;

struct credentials {
	struct tls_context *tls; /* NULL: none is configured */
	struct keyring *keyring; /* NULL: tokens are off */
	struct token_rules rules;
};

int credentials_load(const struct settings *, struct credentials *ret);
/* Reads the files again. What is new is in 'tls' and with the keyring's workers; 0 if anything of it is. */
int credentials_reload(const struct settings *, struct credentials *);
void credentials_free(struct credentials *); /* after the workers */

#endif
