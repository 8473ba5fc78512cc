/* JSON read where it stands: tokens, claims, key files and what a server says, without memory.
 *
 * Why not jansson: its reader goes on with strings that lack bytes where memory is refused (wire/message_memory.h),
 * and here a string is who somebody is. This reads small texts, takes no memory at all, and a fuzzer holds it
 * against jansson.
 *
 * A text is checked as a whole once (json_read_check()); all else here takes parts of a text that was.
 * Pure. Threads any. No recursion. */
#ifndef BASE_JSON_READ_H
#define BASE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	JSON_READ_DEPTH_MAX = 16,
	JSON_READ_MEMBERS_MAX = 64 /* of an object whose keys are compared */
};

/* A value, or the key of one, from its first byte to its last. */
struct json_part {
	const char *text;
	size_t len;
};

/* NULL where the text is one JSON object by RFC 8259 (valid UTF-8, no U+0000, no lone surrogate) that nests no
 * deeper than JSON_READ_DEPTH_MAX; else a static text of what is wrong. Numbers may be of any size. */
const char *json_read_check(const char *text, size_t len);

/* Whether two keys of the object are the same, escapes undone, or are more than can be compared. Its own keys, not
 * those of objects in it. */
bool json_has_duplicates(struct json_part object);

/* The members of an object, or the elements of an array, one by one; false at the end. */
struct json_walk {
	const char *at, *end;
};
struct json_walk json_walk_begin(struct json_part container);
bool json_walk_member(struct json_walk *, struct json_part *ret_key, struct json_part *ret_value);
bool json_walk_element(struct json_walk *, struct json_part *ret_value);

/* The member of that name. */
bool json_find(struct json_part object, const char *name, struct json_part *ret);

bool json_is_string_part(struct json_part);
bool json_is_array_part(struct json_part);
bool json_is_object_part(struct json_part);

/* A string equal to 'word'; false for what is no string. */
bool json_part_equals(struct json_part, const char *word);

/* The bytes of a string, escapes undone, not terminated; never more than its part is long. The length. */
size_t json_part_decode(struct json_part string, char *to);

/* A number rounded down, or up: false for what is no number, below 0 or above 'max'. */
bool json_part_u64(struct json_part, bool round_up, uint64_t max, uint64_t *ret);

#endif
