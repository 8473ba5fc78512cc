#include "app/credentials.h"

#include "app/settings.h"
#include "auth/keys.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

static int load_tls(const struct settings *s, struct tls_context **ret)
{
	struct tls_files files = {
		.cert_path = s->tls_cert,
		.key_path = s->tls_key,
		.now_s = (int64_t)(clock_instant().wall_ms / 1000),
	};
	struct tls_report report;
	int err = tls_context_load(&files, ret, &report);
	if (report.warning[0])
		log_warning("certificate", LOG_TEXT("warning", report.warning),
			LOG_TEXT("cert", s->tls_cert));
	if (err)
		log_error("certificate not loaded", LOG_TEXT("why", report.error),
			LOG_TEXT("cert", s->tls_cert), LOG_TEXT("key", s->tls_key));
	return err;
}

static int load_keys(const struct settings *s, struct keys **ret)
{
	struct keys_params params = {
		.secret = s->jwt_secret,
		.secret_len = s->jwt_secret ? strlen(s->jwt_secret) : 0,
		.jwks_path = s->jwt_jwks_file,
	};
	for (size_t i = 0; i < s->jwt_algorithms.n; i++) /* settings_check() knows them all */
		params.algorithms |= ALGORITHM_BIT(algorithm_parse(
			s->jwt_algorithms.items[i], strlen(s->jwt_algorithms.items[i])));
	char why[KEYS_WHY_MAX];
	int err = keys_load(&params, ret, why);
	if (err)
		log_error("keys of tokens not loaded", LOG_TEXT("why", why),
			LOG_TEXT("file", s->jwt_jwks_file ? s->jwt_jwks_file : "none"));
	else
		log_info("keys of tokens loaded", LOG_U64("keys", keys_count(*ret)),
			LOG_U64("skipped", keys_skipped(*ret)));
	return err;
}

int credentials_load(const struct settings *s, struct credentials *ret)
{
	*ret = (struct credentials){
		.rules = {.issuer = s->jwt_issuer,
			.audience = s->jwt_audience,
			.leeway_s = (uint32_t)((s->jwt_leeway_ms + 999) / 1000)},
	};
	if (s->tls_cert && s->tls_key) {
		int err = load_tls(s, &ret->tls);
		if (err)
			return err;
	}
	if (!settings_have_tokens(s))
		return 0;
	struct keys *keys;
	int err = load_keys(s, &keys);
	if (!err) {
		ret->keyring = keyring_new((unsigned)s->workers, keys);
		keys_release(keys);
		err = ret->keyring ? 0 : -ENOMEM;
	}
	if (err)
		credentials_free(ret);
	return err;
}

bool credentials_reload(const struct settings *s, struct credentials *c)
{
	struct tls_context *tls;
	struct keys *keys;
	bool is_new_tls = false;
	if (!c->tls && !s->jwt_jwks_file)
		log_info("SIGHUP: there is nothing to read again");
	if (c->tls && load_tls(s, &tls) == 0) {
		tls_context_unref(c->tls);
		c->tls = tls;
		is_new_tls = true;
		log_info("reloaded", LOG_TEXT("what", "certificate"));
	} else if (c->tls) {
		log_warning("the certificate of before stays in use");
	}
	if (s->jwt_jwks_file && load_keys(s, &keys) == 0) {
		keyring_replace(c->keyring, keys);
		keys_release(keys);
		log_info("reloaded", LOG_TEXT("what", "keys of tokens"));
	} else if (s->jwt_jwks_file) {
		log_warning("the keys of before stay in use");
	}
	return is_new_tls;
}

void credentials_free(struct credentials *c)
{
	tls_context_unref(c->tls);
	keyring_free(c->keyring);
	*c = (struct credentials){.tls = NULL};
}
