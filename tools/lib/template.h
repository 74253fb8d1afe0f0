/*
 * template.h: an ARM deployment template as the template tools see it
 * (CONTRACT 8, 9.6).
 */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include <jv.h>
#include <stdbool.h>

#include "arm.h" /* HUB_TYPE */

/* Reads a template from path (NULL: stdin) by doc_read and checks it: an
 * object with a resources array; {"template": {...}}, as exportTemplate
 * answers it, is unwrapped.  A hub's resource body (GET) is refused with a
 * hint to hub-export.  Dies with BAD_DATA. */
jv template_read(const char *path);

/* Index in resources of the one IoT hub; dies with BAD_DATA when there is
 * none or more than one.  Borrows. */
int template_hub_peek(jv template);

/* Is this resource of that type, written whole or nested, without case? */
bool template_type_is(jv resource, const char *type);

/* The hub's properties, an object even where it has none, and back. */
jv template_properties(jv template);
jv template_with_properties(jv template, jv properties);

#endif
