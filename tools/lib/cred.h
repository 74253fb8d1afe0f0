/*
 * cred.h: Entra tokens, found in the order of the Azure SDKs'
 * DefaultAzureCredential: environment (AZURE_TENANT_ID, AZURE_CLIENT_ID with
 * AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH or
 * AZURE_FEDERATED_TOKEN_FILE), managed identity, `az account
 * get-access-token` (CONTRACT 2).  With a prefix P the variables are P_AZURE_*.
 */
#ifndef CRED_H
#define CRED_H

#include "http.h"

extern const struct opt cred_opts[]; /* --credential; part of arm_opts */

struct cred;

/* prefix NULL: the value of --credential, else none.  http is borrowed. */
struct cred *cred_open(struct http *http, const char *prefix);
/* A token for that audience ("https://management.azure.com"), kept until five
 * minutes before it ends; fresh: get a new one.  Borrowed until the next
 * call; NULL with *e filled: what was tried, and how to log in. */
const char *cred_token(
    struct cred *c, const char *audience, bool fresh, struct err *e);
/* Who we are, for the audit line: client id, "managed identity", "az". */
const char *cred_principal(struct cred *c);
/* From prefix_AZURE_SUBSCRIPTION_ID, then `az account show`; NULL if none. */
const char *cred_subscription(struct cred *c);
void cred_close(struct cred *c);

#endif
