#include "admin/demo.h"

#include <string.h>
#include <strings.h>

/* What a browser that got its page from this host sends as its Origin: this port speaks no TLS. Judged as the server
 * will (upgrade_origin_allowed). */
static bool is_origin_allowed(const struct admin_demo *demo, const char *host)
{
	static const char scheme[] = "http://";

	for (size_t i = 0; host && i < demo->n_allowed_origins; i++) {
		const char *allowed = demo->allowed_origins[i];

		if (strcmp(allowed, "*") == 0 ||
			(strncasecmp(allowed, scheme, strlen(scheme)) == 0 &&
				strcasecmp(allowed + strlen(scheme), host) == 0))
			return true;
	}
	return false;
}

struct answer demo_answer_config(struct admin *a, const struct request *r)
{
	const struct admin_demo *demo = &a->params.demo;
	/* The address was bound, and is constant, before it was published by admin_tell_websocket(). */
	const struct listen_url *url = atomic_load_explicit(&a->websocket, memory_order_acquire);
	char text[ADDRESS_TEXT_MAX + 1] = "";

	if (url) {
		listen_url_format(url, text);
		strcat(text, "/");
	}
	return answer_document(MHD_HTTP_OK,
		json_pack("{s:s?,s:b,s:b}", "websocket", url ? text : NULL, "is_origin_allowed",
			(int)is_origin_allowed(demo, request_header(r, MHD_HTTP_HEADER_HOST)),
			"asks_token", (int)demo->asks_token));
}
