# drop.jq: a hub without an endpoint that cannot be reached.
import "hub" as hub;

def names($name): .endpointNames // [] | any(.[]; hub::same(.; $name));

# Input and output: a hub's properties.  $path: of the endpoint; $name: its
# name, null for what has none (the file-upload storage).
def endpoint($path; $name):
  delpaths([$path])
  | if $name == null then
      (if getpath($path[:-1]) == {} then delpaths([$path[:-1]]) else . end)
      | if .enableFileUploadNotifications
        then .enableFileUploadNotifications = false else . end
      | hub::say("\($path | join(".")) is dropped")
    else
      hub::say("endpoint '\($name)' is dropped")
      | reduce (.routing.routes[]? | select(names($name))) as $r (.;
          hub::say("route '\($r.name)', which leads there, is dropped"))
      | (if .routing.routes then
          .routing.routes |= map(select(names($name) | not)) else . end)
      | reduce (.routing.enrichments[]? | select(names($name))) as $e (.;
          hub::say("enrichment '\($e.key)' is dropped there"))
      | (if .routing.enrichments then .routing.enrichments |= map(
          if names($name) then
            .endpointNames |= map(select(hub::same(.; $name) | not))
          else . end | select(.endpointNames != [])) else . end)
      | if .routing.fallbackRoute // {} | names($name) then
          .routing.fallbackRoute.endpointNames = ["events"]
          | hub::say("the fallback route leads to 'events' now")
        else . end
    end;
