#include "admin/page.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* ---- the files ----------------------------------------------------------------------------------- */

#define HTML   "text/html; charset=utf-8"
#define CSS    "text/css; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"
#define SVG    "image/svg+xml"
#define TEXT   "text/plain; charset=utf-8"

/* What a document of ours may do: run and fetch what comes from here, and nothing that stands in the document itself. */
#define POLICY_OF(connect)                                                                         \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "                \
	"connect-src " connect "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "   \
	"require-trusted-types-for 'script'; trusted-types 'none'"
#define POLICY      POLICY_OF("'self'")
#define POLICY_DEMO POLICY_OF("'self' ws: wss:") /* the listener's port is another one */

/* X(symbol, path in URLs, file in page/, type, policy: NULL of what is no document). A path that is not below /page/ or
 * /demo/ has a route of its own (admin/routes.c). */
#define FILES(X)                                                                                   \
	X(index, "/", "index.html", HTML, POLICY)                                                  \
	X(style, "/page/style.css", "style.css", CSS, NULL)                                        \
	X(theme, "/page/theme.js", "theme.js", SCRIPT, NULL)                                       \
	X(page, "/page/page.js", "page.js", SCRIPT, NULL)                                          \
	X(live, "/page/live.js", "live.js", SCRIPT, NULL)                                          \
	X(samples, "/page/samples.js", "samples.js", SCRIPT, NULL)                                 \
	X(charts, "/page/charts.js", "charts.js", SCRIPT, NULL)                                    \
	X(health, "/page/health.js", "health.js", SCRIPT, NULL)                                    \
	X(user, "/page/user.js", "user.js", SCRIPT, NULL)                                          \
	X(history, "/page/history.js", "history.js", SCRIPT, NULL)                                 \
	X(words, "/page/words.js", "words.js", SCRIPT, NULL)                                       \
	X(icon, "/page/icon.svg", "icon.svg", SVG, NULL)                                           \
	X(uplot, "/page/uplot.js", "vendor/uplot.js", SCRIPT, NULL)                                \
	X(uplot_style, "/page/uplot.css", "vendor/uplot.css", CSS, NULL)                           \
	X(uplot_licence, "/page/uplot-licence.txt", "vendor/LICENSE", TEXT, NULL)                  \
	X(demo, "/demo", "demo/demo.html", HTML, POLICY_DEMO)                                      \
	X(demo_style, "/demo/style.css", "demo/style.css", CSS, NULL)                              \
	X(demo_script, "/demo/demo.js", "demo/demo.js", SCRIPT, NULL)                              \
	X(demo_cable, "/demo/cable.js", "demo/cable.js", SCRIPT, NULL)                             \
	X(demo_client, "/demo/presence.js", "../../client/js/presence.js", SCRIPT, NULL)

/* The assembler reads them, from where the compiler runs: the repository's root. The Makefile knows that this object is
 * made of them too. */
#define INCLUDE_FILE(symbol, path, file, type, policy)                                             \
	__asm__(".pushsection .rodata\n"                                                           \
		".balign 16\n"                                                                     \
		"page_" #symbol "_begin:\n"                                                        \
		".incbin \"src/admin/page/" file "\"\n"                                            \
		"page_" #symbol "_end:\n"                                                          \
		".byte 0\n"                                                                        \
		".popsection\n");                                                                  \
	extern const char page_##symbol##_begin[], page_##symbol##_end[];
FILES(INCLUDE_FILE)
#undef INCLUDE_FILE

#define FILE_ROW(symbol, path, file, type, policy)                                                 \
	{path, type, policy, page_##symbol##_begin, page_##symbol##_end},
static const struct page_file files[] = {FILES(FILE_ROW)};
#undef FILE_ROW

const struct page_file *page_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(files[i].path, path) == 0)
			return &files[i];
	return NULL;
}

/* ---- whether it is asked for again --------------------------------------------------------------- */

void page_etag(const struct page_file *file, char ret[PAGE_ETAG_MAX])
{
	uint64_t hash = XXH3_64bits(file->begin, (size_t)(file->end - file->begin));

	snprintf(ret, PAGE_ETAG_MAX, "\"%016llx\"", (unsigned long long)hash);
}

bool page_is_known(const struct page_file *file, const char *if_none_match)
{
	char etag[PAGE_ETAG_MAX];

	if (!if_none_match)
		return false;
	page_etag(file, etag);
	/* A list of quoted tags, some of them W/, or "*". A tag of ours has no quotes inside: it is found where it is. */
	return strcmp(if_none_match, "*") == 0 || strstr(if_none_match, etag);
}

struct answer page_answer(struct admin *a, const struct request *r)
{
	const struct page_file *file = page_find(r->path);

	(void)a;
	if (!file)
		return answer_error(ANSWER_ERROR_NOT_FOUND);
	return (struct answer){
		.status = page_is_known(file, request_header(r, MHD_HTTP_HEADER_IF_NONE_MATCH))
				  ? MHD_HTTP_NOT_MODIFIED
				  : MHD_HTTP_OK,
		.type = file->type,
		.file = file,
	};
}
