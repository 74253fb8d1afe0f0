/*
 * roles.h: who may do what (Azure's role assignments), as far as it matters
 * for what a hub's identity writes to (CONTRACT 5, 16.2).
 */
#ifndef ROLES_H
#define ROLES_H

#include "sim.h"

extern const char roles_schema[];

/*
 * Does that principal (its object id) hold that role, by name ("Storage Blob
 * Data Contributor") or GUID, on the resource with that id, or on anything
 * above it?  An assignment counts some time after it was made, and an Owner of
 * the data counts as Contributor, Sender and so on; Resource Manager's own
 * Owner and Contributor carry no rights on data.
 */
bool role_held(struct sim *s, const char *principal, const char *scope_id,
    const char *role);
/* All roles everywhere, at once, and shown by no list: for --from. */
void role_trust(struct sim *s, const char *principal);
/* A request below .../providers/Microsoft.Authorization/; false: it is not. */
bool roles_handle(
    struct sim *s, const struct sim_request *q, struct sim_reply *r);

#endif
