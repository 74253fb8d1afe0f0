# keys.jq: which keys are missing, whom to ask, and what to do with the answer.
#
# A job is an endpoint that lacks a key:
#   {endpoint, path, subscription, group, secrets, want,   from the plugin
#    find,                          list to look for its resource group in
#    requests,                      to be tried in this order
#    reply, used, failed: {status, text}}
import "hub" as hub;

def unknown: "{resourceGroup}";
def full: type == "string" and . != "";

# "Microsoft.X/namespaces/rules" and ["ns", "r"] by turns, for an URL.
def provider_path:
  (.type | split("/")) as $types
  | .names as $names
  | reduce range(1; $types | length) as $i ($types[0];
      . + "/" + $types[$i]
      + if $names[$i - 1] then "/" + ($names[$i - 1] | @uri) else "" end);

# By reference it is only looked whether the rule is there.
def request($job; $reference):
  ("/subscriptions/\($job.subscription | @uri)/resourceGroups/"
    + (if $job.group == unknown then unknown else $job.group | @uri end)
    + "/providers/\(provider_path)") as $path
  | if $reference then {method: "GET", path: $path, api: .apiVersion}
    else {method: "POST", path: "\($path)/\(.action)", api: .apiVersion,
      repeat: true} end;
def requests($reference):
  . as $job | .requests = [.want[] | request($job; $reference)];

# $o: {subscription, reference}
def plan($o):
  map(.group as $group
    | .subscription |= (if full then . else $o.subscription end)
    | .group |= (if full then . else unknown end)
    | if .group == unknown then
        .find = {method: "GET", api: .want[0].apiVersion,
          path: ("/subscriptions/\(.subscription)/providers/"
            + (.want[0].type | split("/")[:2] | join("/")))}
      else . end
    | requests($o.reference));

def fail($status; $text): .failed = {status: $status, text: $text};

# $lists: what each .find.path gave.
def located($lists; $o):
  map(if .find == null then . else
    . as $job
    | ([$lists[.find.path][] | select(hub::same(.name; $job.want[0].names[0]))
        | .id | split("/")
        | .[(map(hub::low) | hub::place("resourcegroups")) + 1]] | unique) as $in
    | if $in | length == 1 then .group = $in[0] | requests($o.reference)
      else fail(1; "'\(.want[0].names[0])' (\(.find.path
          | sub(".*/providers/"; ""))) is "
        + (if $in == [] then "nowhere" else "in \($in | join(" and "))" end)
        + " in subscription \(.subscription)") end
    end);

def open: .reply == null and .failed == null;
# The requests of this round, and what became of them; 404: ask the next.
def due($round): [.[] | select(open) | .requests[$round] | values];
def settle($round; $answers; $o):
  reduce .[] as $job ({jobs: [], left: $answers};
    if ($job | open) and $job.requests[$round] then
      .left[0] as $a
      | .left |= .[1:]
      | .jobs += [$job | .want[$round] as $w
        | if $a.failed == null then .reply = $a | .used = $round
          elif $a.failed.http == 404 then .
          elif $a.failed.http == 403 then
            fail(6; "no right to the keys of '\($w.names | join("/"))' in "
              + "resource group '\(.group)': needs \($w.type)/"
              + (if $o.reference then "read" else "\($w.action)/action" end)
              + " (\($a.failed.text))")
          else fail($a.failed.status;
            "'\($w.names | join("/"))': \($a.failed.text)") end]
    else .jobs += [$job] end)
  | .jobs;

# listKeys() of the request that was answered, and the key's place in it.
def reference($from):
  .want[.used] as $w
  | reduce $from[] as $part (
      hub::call($w.action; [hub::call("resourceId";
          [.subscription, .group, $w.type, $w.names[]]), $w.apiVersion]);
      {"$expr": {(if $part | type == "number" then "index" else "member" end):
        [., $part]}});

# What goes where: [{path, secret, key}]; key may be a tree.
def fill($o):
  map(. as $job
    | if .failed then .
      elif .reply == null then
        fail(1; "not found in resource group '\(.group)': \([.want[]
          | "'\(.names | join("/"))' (\(.type))"] | join(", nor "))")
      elif $o.reference then
        .fill = [.secrets[] | {secret: ., key: (.from as $from
          | $job | reference($from))}]
      elif all(.secrets[]; .from as $from | $job.reply | getpath($from) | full)
      then .fill = [.secrets[] | {secret: ., key: (.from as $from
        | $job.reply | getpath($from))}]
      else fail(6; "the answer holds no key") end
    | del(.reply));

# ---- a hub without an endpoint whose key cannot be had ----

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
