/* What the demo page is told before it begins, and what its document may do. */
#include "admin/demo.h"

#include "support/admin_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The answer to a page from this host: "websocket allowed token". */
static const char *config(struct admin_fixture *f, const char *host)
{
	static struct reply r;
	static char text[256];
	char head[128];
	json_t *config;
	int fd = client_dial(f);

	snprintf(head, sizeof(head),
		"GET /demo/config.json HTTP/1.1\r\nConnection: close\r\n%s%s\r\n\r\n",
		host ? "Host: " : "X: ", host ? host : "x");
	client_say(fd, head);
	client_hear(fd, true, &r);
	close(fd);
	if (r.status != 200) {
		snprintf(text, sizeof(text), "%u", r.status);
		return text;
	}
	config = reply_json(&r);
	const char *websocket = json_string_value(json_object_get(config, "websocket"));
	snprintf(text, sizeof(text), "%s%s%s", websocket ? websocket : "null",
		json_is_true(json_object_get(config, "is_origin_allowed")) ? " allowed" : "",
		json_is_true(json_object_get(config, "asks_token")) ? " token" : "");
	json_decref(config);
	return text;
}

static struct listen_url url_of(const char *text)
{
	struct listen_url url;
	const char *why;

	assert_int_equal(listen_url_parse(text, strlen(text), &url, &why), 0);
	return url;
}

static void test_where_a_page_reaches_the_server(void **state)
{
	struct admin_fixture *f = *state;
	struct listen_url url = url_of("ws://127.0.0.1:7401"), any = url_of("wss://*:7443");

	admin_begin(f);
	assert_string_equal(config(f, "x"), "null");
	admin_tell_websocket(f->admin, &url);
	assert_string_equal(config(f, "x"), "ws://127.0.0.1:7401/");
	admin_tell_websocket(f->admin, &any);
	assert_string_equal(config(f, "x"), "wss://*:7443/");
}

static void test_whether_this_page_may(void **state)
{
	static char other[] = "https://example.org", ours[] = "http://127.0.0.1:7402", any[] = "*";
	static char *origins[] = {other, ours}, *all[] = {any};
	struct admin_fixture *f = *state;

	f->params.token = "secret"; /* of the port; none is asked for here */
	f->params.demo = (struct admin_demo){
		.allowed_origins = origins, .n_allowed_origins = 2, .asks_token = true};
	admin_begin(f);
	assert_string_equal(config(f, "127.0.0.1:7402"), "null allowed token");
	assert_string_equal(config(f, "127.0.0.1:740"), "null token");
	assert_string_equal(config(f, "127.0.0.1:74022"), "null token");
	assert_string_equal(config(f, "example.org"), "null token");
	admin_stop(f->admin);

	f->params.demo = (struct admin_demo){.allowed_origins = all, .n_allowed_origins = 1};
	admin_begin(f);
	assert_string_equal(config(f, "127.0.0.1:1"), "null allowed");
	f->params.demo = (struct admin_demo){.allowed_origins = origins, .n_allowed_origins = 2};
	admin_stop(f->admin);
	admin_begin(f);
	assert_string_equal(config(f, NULL), "null");
}

/* Another port of this host is another origin to a browser: WebSockets go anywhere, all else stays here. */
static void test_its_document_may_open_websockets(void **state)
{
	static struct reply r;
	const char *policy;

	admin_begin(*state);
	client_get(*state, "GET", "/demo", "", &r);
	assert_int_equal(r.status, 200);
	policy = reply_header(&r, "Content-Security-Policy");
	assert_non_null(strstr(policy, "connect-src 'self' ws: wss:;"));
	assert_non_null(strstr(policy, "default-src 'none'; script-src 'self';"));
	assert_null(strstr(policy, "unsafe"));
	assert_null(strstr(r.body, "style="));
	assert_int_equal(client_status(*state, "/demo/presence.js", ""), 200);
	assert_int_equal(client_status(*state, "/demo/", ""), 404);
	assert_int_equal(client_status(*state, "/demo/demo.html", ""), 404);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, admin_setup, admin_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_where_a_page_reaches_the_server),
		TEST(test_whether_this_page_may),
		TEST(test_its_document_may_open_websockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
