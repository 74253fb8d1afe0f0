/* serviceBusQueues: a Service Bus queue as a routing endpoint (CONTRACT 5, 10).
 */
#define NAMESPACES "Microsoft.ServiceBus/namespaces"
#define ENTITIES "queues"
#define VERSION "2021-11-01"
#include "namespace.h"

HUBPIPE_PLUGIN(.name = "serviceBusQueues",
    .summary = "a Service Bus queue, by rule or identity", .names = names,
    .with_names = with_names, .secrets = secrets, .key_requests = key_requests,
    .resource = resource, .read_only = read_only,
    .role = "Azure Service Bus Data Sender");
