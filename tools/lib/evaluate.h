/*
 * evaluate.h: the expressions of a template, as far as they can be known
 * before a deployment: parameters() and variables() have values here, the
 * rest (listKeys, reference, resourceGroup, utcNow, ...) stays as it is.
 */
#ifndef EVALUATE_H
#define EVALUATE_H

#include <jv.h>

/* A parameters file, whole or only its "parameters": {"name in lower case":
 * {"value": ...}}; path NULL: an empty object.  Dies. */
jv evaluate_parameters(const char *path);

/* The template with the expressions in resources, outputs, variables and the
 * parameters' defaults lifted (expr.h); descriptions stay as they are.  Dies
 * with BAD_DATA for one that does not parse. */
jv evaluate_lift(jv template);

/*
 * resources, outputs and variables of a lifted template folded, with given
 * (as evaluate_parameters() gives it) before the parameters' defaults.  A
 * parameter whose default is utcNow() or newGuid(), which are allowed nowhere
 * else, or whose value is a Key Vault's, stays a parameter.  Dies with
 * BAD_DATA for what cannot be evaluated and for a parameter without value.
 */
jv evaluate_fold(jv lifted, jv given);

/*
 * The resources of a template as it stands, evaluated for one deployment:
 * scope {"subscription", "group", "location"} (a member may be missing) gives
 * resourceGroup(), subscription() and resourceId() their values, and what has
 * none yet stays.  In the same order, lifted.  Invalid, BAD_DATA, for an
 * expression that cannot be right.  CONTRACT 9.6.
 */
jv evaluate_resources(jv template, jv given, jv scope);

#endif
