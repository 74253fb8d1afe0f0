/* eventHubs: an event hub as a routing endpoint (CONTRACT 5, 10). */
#define NAMESPACES "Microsoft.EventHub/namespaces"
#define ENTITIES "eventhubs"
#define VERSION "2021-11-01"
#include "namespace.h"

HUBPIPE_PLUGIN(.name = "eventHubs",
    .summary = "an event hub, by rule or identity", .names = names,
    .with_names = with_names, .secrets = secrets, .key_requests = key_requests,
    .resource = resource, .read_only = read_only,
    .role = "Azure Event Hubs Data Sender");
