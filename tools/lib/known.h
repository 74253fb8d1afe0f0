/*
 * known.h: what of a template can be known before it is deployed (CONTRACT
 * 9.6): parameters, variables, the resource group and ids evaluated.
 */
#ifndef KNOWN_H
#define KNOWN_H

#include <jv.h>

/*
 * The template's resources, evaluated as far as possible: in the same order,
 * lifted (expr.h) where something stays for the deployment to know.
 *   values  {"parameter": {"value": ...}}, for what has no default
 *   scope   {"subscription", "group", "location"}: where it is deployed;
 *           a member may be missing
 * Invalid, BAD_DATA, for an expression that cannot be right.
 */
jv template_known(jv template, jv values, jv scope);

/* --parameters FILE: {"parameters": {"p": {"value": ...}}}, or what is in it;
 * dies with BAD_DATA.  path NULL: none. */
jv template_values(const char *path);

#endif
