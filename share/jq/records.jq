# records.jq: edits of registry records that many want.  For one member by
#
#   registry-edit --set='PATH=import "records" as r; r::FILTER'
#
# and for whole records by plain jq, which alters numbers it cannot keep:
#
#   jq -c -L SHARE/jq 'import "records" as r; r::renamed("^dev-"; "east-")'
#
# What is not there gives no result, so that registry-edit leaves it alone.

# An id, or what names one: REGEX becomes TEXT, where (?<n>...) is \(.n).
def rename(regex; text):
  if type == "string" then sub(regex; text)
  elif . == null then empty
  else . end;

# The scope of an Edge device, ms-azure-iot-edge://ID-NUMBER: its id renamed.
# registry-load looks for the parent of that id on the new hub.
def rename_scope(regex; text):
  if type == "string" and test("^ms-azure-iot-edge://.*-[^-]*$") then
    capture("^(?<scheme>ms-azure-iot-edge://)(?<id>.*)(?<number>-[^-]*)$")
    | .scheme + (.id | rename(regex; text)) + .number
  elif . == null then empty
  else . end;

# parentScopes: all of them.
def rename_scopes(regex; text):
  if type == "array" then map(rename_scope(regex; text))
  elif . == null then empty
  else . end;

# A whole record: whose it is, and below whom it stands.
def renamed(regex; text):
  .id |= rename(regex; text)
  | if .deviceScope then .deviceScope |= rename_scope(regex; text) else . end
  | if .parentScopes then .parentScopes |= rename_scopes(regex; text)
    else . end;

# -- of an object such as tags or properties.desired; null is {} --------------

def path_of($name): $name | split(".");

# Is there such a member?  "site", or "rack.row" one level down.
def tagged($name):
  path_of($name) as $p
  | try ((. // {} | getpath($p[:-1])) | type == "object" and has($p[-1]))
    catch false;

# Sets it; objects on the way are made.
def tag($name; value): (. // {}) | setpath(path_of($name); value);

# The same only where it is missing.
def tag_default($name; value):
  if tagged($name) then . else tag($name; value) end;

# Drops it, if it is there.
def untag($name):
  if tagged($name) then delpaths([path_of($name)]) else values end;

# Moves it, if it is there.
def retag($from; $to):
  if tagged($from) then
    getpath(path_of($from)) as $value
    | untag($from) | tag($to; $value)
  else values end;

# Keeps only these of the top level.
def only_tags($names):
  values | with_entries(select(.key as $k | $names | index($k)));
