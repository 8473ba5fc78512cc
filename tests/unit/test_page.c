/* The dashboard's files: each is there, of its type, asked for once, and allowed nothing from elsewhere. */
#include "admin/page.h"

#include "support/admin_fixture.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *path, *type, *begins;
} files[] = {
	{"/", "text/html; charset=utf-8", "<!doctype html>"},
	{"/page/style.css", "text/css; charset=utf-8", "/*"},
	{"/page/page.js", "text/javascript; charset=utf-8", "/*"},
	{"/page/uplot.js", "text/javascript; charset=utf-8",
		"/*! https://github.com/leeoniya/uPlot"},
	{"/page/uplot-licence.txt", "text/plain; charset=utf-8", "The MIT License"},
	{"/page/icon.svg", "image/svg+xml", "<svg"},
};

static void test_files(void **state)
{
	static struct reply r;

	admin_begin(*state);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		client_get(*state, "GET", files[i].path, "", &r);
		assert_int_equal(r.status, 200);
		assert_string_equal(reply_header(&r, "Content-Type"), files[i].type);
		assert_string_equal(reply_header(&r, "X-Content-Type-Options"), "nosniff");
		assert_string_equal(reply_header(&r, "Cache-Control"), "no-cache");
		assert_true(r.body_len > strlen(files[i].begins));
		assert_memory_equal(r.body, files[i].begins, strlen(files[i].begins));
	}
}

static void test_no_token_is_needed_for_them(void **state)
{
	struct admin_fixture *f = *state;
	static struct reply r;

	f->params.token = "secret";
	admin_begin(f);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		assert_int_equal(client_status(f, files[i].path, ""), 200);
	client_get(f, "GET", "/page/nothing.js", "", &r);
	reply_assert_error(&r, 404, "not_found");
	client_get(f, "GET", "/stats", "", &r);
	reply_assert_error(&r, 401, "unauthorized");
}

static void test_what_is_not_there(void **state)
{
	static const char *const paths[] = {"/page", "/page/", "/page/index.html",
		"/page/vendor/uplot.js", "/page/../page.c", "/page/%2e%2e", "/page/style%2ecss",
		"/index.html", "//", "/page/page.js/"};
	struct reply r;

	admin_begin(*state);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		client_get(*state, "GET", paths[i], "", &r);
		reply_assert_error(&r, 404, "not_found");
	}
	client_get(*state, "POST", "/", "", &r);
	reply_assert_error(&r, 405, "method_not_allowed");
}

static bool allows(const char *policy, const char *directive)
{
	const char *found = strstr(policy, directive);

	return found && strchr(" ;", found[strlen(directive)]);
}

static void test_the_policy_is_strict(void **state)
{
	static struct reply r;
	const char *policy;

	admin_begin(*state);
	client_get(*state, "GET", "/", "", &r);
	policy = reply_header(&r, "Content-Security-Policy");
	assert_non_null(policy);
	assert_true(allows(policy, "default-src 'none'"));
	assert_true(allows(policy, "script-src 'self'"));
	assert_true(allows(policy, "style-src 'self'"));
	assert_true(allows(policy, "connect-src 'self'"));
	assert_true(allows(policy, "frame-ancestors 'none'"));
	assert_true(allows(policy, "base-uri 'none'"));
	assert_null(strstr(policy, "unsafe"));
	assert_null(strstr(policy, "http"));
	assert_string_equal(reply_header(&r, "Referrer-Policy"), "no-referrer");
	assert_string_equal(reply_header(&r, "X-Frame-Options"), "DENY");
	/* What the policy forbids is not there to begin with. */
	assert_null(strstr(r.body, "<style"));
	assert_null(strstr(r.body, "style="));
	assert_null(strstr(r.body, "<script>"));
	assert_null(strstr(r.body, "://"));
}

static void test_it_is_asked_for_once(void **state)
{
	static struct reply r;
	char etag[64], headers[160];

	admin_begin(*state);
	client_get(*state, "GET", "/page/style.css", "", &r);
	snprintf(etag, sizeof(etag), "%s", reply_header(&r, "ETag"));
	assert_int_equal(etag[0], '"');
	snprintf(headers, sizeof(headers), "If-None-Match: \"x\", W/%s\r\n", etag);
	client_get(*state, "GET", "/page/style.css", headers, &r);
	assert_int_equal(r.status, 304);
	assert_string_equal(reply_header(&r, "ETag"), etag);
	assert_int_equal(r.body_len, 0);
	/* Of another file it is another one. */
	client_get(*state, "GET", "/page/page.js", headers, &r);
	assert_int_equal(r.status, 200);
	assert_string_not_equal(reply_header(&r, "ETag"), etag);
	client_get(*state, "GET", "/page/page.js", "If-None-Match: *\r\n", &r);
	assert_int_equal(r.status, 304);
	client_get(*state, "GET", "/page/page.js", "If-None-Match: \"\"\r\n", &r);
	assert_int_equal(r.status, 200);
}

/* All other answers are as they were, and no browser guesses what they are. */
static void test_answers_of_the_api(void **state)
{
	static struct reply r;

	admin_begin(*state);
	client_get(*state, "GET", "/stats", "", &r);
	assert_string_equal(reply_header(&r, "Cache-Control"), "no-store");
	assert_string_equal(reply_header(&r, "X-Content-Type-Options"), "nosniff");
	assert_null(reply_header(&r, "ETag"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, admin_setup, admin_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_files),
		TEST(test_no_token_is_needed_for_them),
		TEST(test_what_is_not_there),
		TEST(test_the_policy_is_strict),
		TEST(test_it_is_asked_for_once),
		TEST(test_answers_of_the_api),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
