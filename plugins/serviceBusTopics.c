/* serviceBusTopics: a Service Bus topic as a routing endpoint (CONTRACT 5, 10).
 */
#define NAMESPACES "Microsoft.ServiceBus/namespaces"
#define ENTITIES "topics"
#define VERSION "2021-11-01"
#include "namespace.h"

HUBPIPE_PLUGIN(.name = "serviceBusTopics",
    .summary = "a Service Bus topic, by rule or identity", .names = names,
    .with_names = with_names, .secrets = secrets, .key_requests = key_requests,
    .resource = resource, .read_only = read_only,
    .role = "Azure Service Bus Data Sender");
