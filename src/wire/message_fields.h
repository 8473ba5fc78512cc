/* The fields of each request, checked and read out of its JSON. Part of wire/message; nobody else's. */
#ifndef WIRE_MESSAGE_FIELDS_H
#define WIRE_MESSAGE_FIELDS_H

#include "wire/message.h"

/* 'why' becomes "field: what"; returns WIRE_ERROR_BAD_MESSAGE. */
enum wire_error message_complain(struct message *, const char *field, const char *what);

/* Of a message whose root is an object and whose type is known. */
enum wire_error message_read_fields(struct message *);

/* Whether a byte is there that ids, devices and status texts must not hold: below U+0020, or U+007F. */
bool message_has_control(const char *text, size_t len);

#endif
