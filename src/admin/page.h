/* The dashboard: files that lie in the program as they lie in page/ beside this, and are served as they are.
 *
 * They hold no data, so nobody is asked for a token: what the page shows it asks for itself, at the API.
 * Threads  any. Memory  none: all is constant. */
#ifndef ADMIN_PAGE_H
#define ADMIN_PAGE_H

#include "admin/http_private.h"

/* The file whose path in a URL is this one, to the letter; NULL: none. */
const struct page_file *page_find(const char *path);

enum { PAGE_ETAG_MAX = 24 };

/* Quoted, as in the header. Of another content it is another one. */
void page_etag(const struct page_file *, char ret[PAGE_ETAG_MAX]);

/* Whether an If-None-Match names the file as it is. */
bool page_is_known(const struct page_file *, const char *if_none_match);

struct answer page_answer(struct admin *, const struct request *);

#endif
