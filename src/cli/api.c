#include "cli/api.h"

#include "cli/console.h"
#include "cli/text.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_TIMEOUT_MS = 3000, ANSWER_TIMEOUT_MS = 10000, ANSWER_MAX = 64 << 20, DELETED = 204 };

struct api {
	CURL *curl;
	struct curl_slist *headers;
	char *base; /* scheme://host:port/path, without a slash at its end */
	bool has_token;
	struct buffer body; /* of the answer under way */
	char error[CURL_ERROR_SIZE];
};

/* ---- opening ------------------------------------------------------------------------------------- */

/* The URL without what it may not have, made plain; NULL with '*ret_why'. */
static char *read_base(const char *text, const char **ret_why)
{
	CURLU *url = curl_url();
	char *part = NULL, *base = NULL, *copy = NULL;

	*ret_why = "must be http://host:port or https://host:port";
	if (!url || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
		goto out;
	if (curl_url_get(url, CURLUPART_SCHEME, &part, 0) != CURLUE_OK ||
		(strcmp(part, "http") != 0 && strcmp(part, "https") != 0))
		goto out;
	for (CURLUPart extra = CURLUPART_USER; extra <= CURLUPART_PASSWORD; extra++) {
		char *found = NULL;
		CURLUcode code = curl_url_get(url, extra, &found, 0);
		curl_free(found);
		if (code == CURLUE_OK) {
			*ret_why =
				"takes no user and password; PRESENCE_ADMIN_TOKEN is for secrets";
			goto out;
		}
	}
	curl_url_set(url, CURLUPART_QUERY, NULL, 0);
	curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
	if (curl_url_get(url, CURLUPART_URL, &base, 0) != CURLUE_OK)
		goto out;
	for (size_t len = strlen(base); len > 0 && base[len - 1] == '/'; len--)
		base[len - 1] = '\0';
	copy = strdup(base);
out:
	curl_free(base);
	curl_free(part);
	curl_url_cleanup(url);
	return copy;
}

static size_t take_body(char *data, size_t size, size_t n, void *to)
{
	struct api *api = to;

	if (size * n > ANSWER_MAX - api->body.len)
		return 0; /* which ends it */
	buffer_append(&api->body, data, size * n);
	return api->body.failed ? 0 : size * n;
}

static bool add_header(struct api *api, const char *line)
{
	struct curl_slist *longer = curl_slist_append(api->headers, line);

	if (longer)
		api->headers = longer;
	return longer != NULL;
}

static bool add_token(struct api *api, const char *token)
{
	struct buffer line = {.data = NULL};
	bool is_added;

	buffer_append_string(&line, "Authorization: Bearer ");
	buffer_append_string(&line, token);
	buffer_append(&line, "", 1);
	is_added = !line.failed && add_header(api, line.data);
	buffer_free(&line);
	return is_added;
}

static bool prepare(struct api *api, const char *token)
{
	const char *bundle =
		getenv("SSL_CERT_FILE"); /* OpenSSL's own variable, which libcurl passes by */
	CURL *curl = api->curl;

	if (!add_header(api, "Accept: application/json") || (token && !add_token(api, token)))
		return false;
	return curl_easy_setopt(curl, CURLOPT_HTTPHEADER, api->headers) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_USERAGENT, "presencectl/" PRESENCED_VERSION) ==
		       CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) ==
		       CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_TIMEOUT_MS) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEDATA, api) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, api->error) == CURLE_OK &&
	       (!bundle || !bundle[0] ||
		       curl_easy_setopt(curl, CURLOPT_CAINFO, bundle) == CURLE_OK);
}

enum exit_code api_open(const struct environment *environment, struct api **ret)
{
	const char *token = environment->value[VARIABLE_PRESENCE_ADMIN_TOKEN], *why = NULL;
	struct api *api = calloc(1, sizeof(*api));

	if (!api)
		goto no_memory;
	api->base = read_base(environment->value[VARIABLE_PRESENCE_ADMIN_URL], &why);
	if (!api->base) {
		console_complain("PRESENCE_ADMIN_URL %s", why);
		api_close(api);
		return EXIT_CODE_CONFIG;
	}
	api->has_token = token != NULL;
	api->curl = curl_easy_init();
	if (!api->curl || !prepare(api, token))
		goto no_memory;
	*ret = api;
	return EXIT_CODE_DONE;
no_memory:
	console_complain("out of memory");
	api_close(api);
	return EXIT_CODE_OS;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	curl_easy_cleanup(api->curl);
	curl_slist_free_all(api->headers);
	buffer_free(&api->body);
	free(api->base);
	free(api);
}

/* ---- what goes wrong ----------------------------------------------------------------------------- */

/* "URL: WORDS", both made safe, and 'hint'. */
static void complain(const struct api *api, const char *words, size_t len, const char *hint)
{
	struct buffer text = {.data = NULL};

	text_append_safe(&text, api->base, strlen(api->base));
	buffer_append_string(&text, ": ");
	text_append_safe(&text, words, len);
	buffer_append_string(&text, hint);
	console_complain_of(&text);
	buffer_free(&text);
}

enum exit_code api_strange(const struct api *api, const char *what)
{
	complain(api, what, strlen(what), ": is that presenced's admin HTTP (PRESENCE_ADMIN_URL)?");
	return EXIT_CODE_PROTOCOL;
}

static enum exit_code complain_of_way(const struct api *api, CURLcode code)
{
	const char *words = api->error[0] ? api->error : curl_easy_strerror(code);

	if (code == CURLE_OUT_OF_MEMORY || api->body.failed) {
		console_complain("out of memory");
		return EXIT_CODE_OS;
	}
	if (code == CURLE_WRITE_ERROR)
		return api_strange(api, "an answer of more than 64 MiB");
	if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY)
		return api_strange(api, "no HTTP");
	complain(api, words, strlen(words), " (PRESENCE_ADMIN_URL)");
	return EXIT_CODE_UNAVAILABLE;
}

/* The server's own words for it are shown where it has some: {"error":{"code","message"}}. */
static enum exit_code complain_of_status(const struct api *api, long status, const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	size_t len;
	const char *message = api_string(error, "message", &len);
	char number[40];

	if (status == 401 || status == 403) {
		complain(api, "it ", 3,
			api->has_token ? "does not take the token in PRESENCE_ADMIN_TOKEN"
				       : "wants a token: set PRESENCE_ADMIN_TOKEN");
		return EXIT_CODE_PERMISSION;
	}
	snprintf(number, sizeof(number), "HTTP status %ld", status);
	if (status >= 300 && status < 400)
		return api_strange(api, "it redirects elsewhere, which is not followed");
	if (!message)
		return api_strange(api, number);
	complain(api, message, len, "");
	return status >= 500 ? EXIT_CODE_UNAVAILABLE : EXIT_CODE_PROTOCOL;
}

/* ---- asking -------------------------------------------------------------------------------------- */

/* The status, and the answer where it is an object; DONE where there was any answer at all. */
static enum exit_code ask(struct api *api, const char *method, const struct buffer *path,
	long *ret_status, json_t **ret)
{
	struct buffer url = {.data = NULL};
	CURLcode code = CURLE_OUT_OF_MEMORY;

	buffer_clear(&api->body);
	api->error[0] = '\0';
	*ret = NULL;
	*ret_status = 0;
	buffer_append_string(&url, api->base);
	buffer_append(&url, path->data, path->len);
	buffer_append(&url, "", 1);
	if (!url.failed && !path->failed) {
		code = curl_easy_setopt(api->curl, CURLOPT_URL, url.data);
		if (code == CURLE_OK)
			code = curl_easy_setopt(api->curl, CURLOPT_CUSTOMREQUEST, method);
		if (code == CURLE_OK)
			code = curl_easy_perform(api->curl);
	}
	buffer_free(&url);
	if (code != CURLE_OK)
		return complain_of_way(api, code);
	curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, ret_status);
	if (api->body.len > 0)
		*ret = json_loadb(api->body.data, api->body.len, JSON_REJECT_DUPLICATES, NULL);
	if (*ret && !json_is_object(*ret)) {
		json_decref(*ret);
		*ret = NULL;
	}
	return EXIT_CODE_DONE;
}

/* The server's words for: what was asked for is not there, and that is the answer. */
static bool says_there_is_none(long status, const json_t *answer)
{
	const char *code = api_string(json_object_get(answer, "error"), "code", NULL);

	return status == 404 && code &&
	       (strcmp(code, "no_session") == 0 || strcmp(code, "no_history") == 0);
}

enum exit_code api_get(struct api *api, const struct buffer *path, json_t **ret)
{
	json_t *answer;
	long status;
	enum exit_code code = ask(api, "GET", path, &status, &answer);

	if (code == EXIT_CODE_DONE && says_there_is_none(status, answer))
		code = EXIT_CODE_NO;
	else if (code == EXIT_CODE_DONE && status != 200)
		code = complain_of_status(api, status, answer);
	else if (code == EXIT_CODE_DONE && !answer)
		code = api_strange(api, "the answer is no JSON object");
	if (code != EXIT_CODE_DONE) {
		json_decref(answer);
		return code;
	}
	*ret = answer;
	return EXIT_CODE_DONE;
}

enum exit_code api_delete(struct api *api, const struct buffer *path)
{
	json_t *answer;
	long status;
	enum exit_code code = ask(api, "DELETE", path, &status, &answer);

	if (code == EXIT_CODE_DONE && says_there_is_none(status, answer))
		code = EXIT_CODE_NO;
	else if (code == EXIT_CODE_DONE && status != DELETED)
		code = complain_of_status(api, status, answer);
	json_decref(answer);
	return code;
}

/* ---- reading ------------------------------------------------------------------------------------- */

const char *api_string(const json_t *object, const char *key, size_t *ret_len)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value))
		return NULL;
	if (ret_len)
		*ret_len = json_string_length(value);
	return json_string_value(value);
}

int64_t api_number(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}
