/*
 * arm.h: Azure Resource Manager: requests, its three error envelopes, both
 * long-running forms, lists (CONTRACT 3).
 */
#ifndef ARM_H
#define ARM_H

#include <jv.h>

#include "cred.h"
#include "http.h"

/* -s SUBSCRIPTION, --credential, --cloud, and http_opts. */
extern const struct opt arm_opts[];

/* Pinned api-versions (CONTRACT 1). */
#define ARM_API_HUB "2023-06-30"
#define ARM_API_DEPLOYMENTS "2022-09-01"
#define ARM_API_GROUPS "2021-04-01"
#define ARM_API_LOCATIONS "2022-12-01"

struct arm;

struct arm *arm_open(void); /* makes its own http and cred; dies */
struct arm *arm_open_on(struct http *http); /* http is borrowed */
struct http *arm_http(struct arm *a);
struct cred *arm_cred(struct arm *a);
/* From -s, AZURE_SUBSCRIPTION_ID or az; dies with BAD_USAGE if none. */
const char *arm_subscription(struct arm *a);
void arm_close(struct arm *a);

/* One call as data: {"method","path","api","body"?,"repeat"?:bool,
 * "limit"?:number}.  limit: one try only, which may take so many seconds.
 * path begins with /, or is a URL that ARM gave (a nextLink, an operation),
 * which is refused when it leads to another host: the token would go there.
 * "repeat" defaults to true but for POST. */
jv arm_request(const char *method, const char *api, jv body,
    const char *path_fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * Sends it, follows it to its end if it is long-running (first answer 201 or
 * 202 with Azure-AsyncOperation or Location, or a provisioningState that is
 * not terminal), and gives the final body: the resource after a PUT, the
 * result of a POST, jv_null() when empty.
 *
 * Failure: invalid; status REMOTE_REFUSED or REMOTE_RETRY, ANSWER_NO for
 * 404; subject the last part of the path; text "CODE: message", the deepest
 * one there is, secrets never; for 401 and 403 what right is missing.
 */
jv arm_call(struct arm *a, jv request);

/* arm_call() of a GET, but jv_null() when there is no such thing. */
jv arm_look(struct arm *a, jv request);

/* The same without waiting: {"status","body","headers":{"location",...}} or
 * invalid when no answer came.  Any HTTP status is an answer. */
jv arm_answer(struct arm *a, jv request);
/* May it have been carried out although no good answer came? */
bool arm_in_doubt(const struct arm *a);

/* Many at once (-j), results in the order of requests: each what arm_call
 * gives, but a failure is {"failed":{"status","http","code","text"}}, since
 * an array cannot hold an invalid jv. */
jv arm_all(struct arm *a, jv requests);

/* All pages of a list: an array of the "value"s. */
jv arm_list(struct arm *a, jv request);

/* The innermost code and message of any ARM error body, the flat hub form and
 * JSON in strings included: {"code","message"}.  CONTRACT 3.1, 9.5. */
jv arm_error(jv body);
/* That as "CODE: message", malloc'd. */
char *arm_error_text(jv error);
/* What such an answer means for the exit status. */
enum status arm_status(int http, jv error);
/* Keys and signatures in a text that quotes a request become ****; malloc'd. */
char *arm_masked(const char *text);

/* /subscriptions/S/resourceGroups/G/providers/NS/type/name[/type/name]... to
 * {"subscription","group","type","names":[...]}; invalid when it is none. */
jv arm_id_parse(const char *id);
/* Same id?  Without case. */
bool arm_id_same(const char *a, const char *b);

#define HUB_TYPE "Microsoft.Devices/IotHubs"

/* The name of the hub in an operand: a name, a host name of this cloud, or a
 * resource id; malloc'd.  NULL with *e (BAD_USAGE): none of these. */
char *arm_hub_name(const char *operand, struct err *e);

/*
 * The hub an operand names: a full resource id, or a name, with group (-g) or
 * NULL to look through the subscription.  Result: the resource as GET gives
 * it.  Not found: ANSWER_NO, with the names that are there if few.
 */
jv arm_hub(struct arm *a, const char *operand, const char *group);

#endif
