# records.bash: records of every kind, as a line each.  Load after helper.
# shellcheck shell=bash disable=SC2016 # $edgeAgent

sas() {
    printf '"authentication":{"symmetricKey":{"primaryKey":"%s","secondaryKey":"%s"},"type":"sas"}' \
        "$(printf '%s/p................' "$1" | base64 -w 0)" \
        "$(printf '%s/s................' "$1" | base64 -w 0)"
}

# device ID [MEMBERS]; module ID MODULE [MEMBERS]; edge ID [PARENT...]
device() {
    echo "{\"id\":\"$1\",\"status\":\"enabled\",$(sas "$1")${2-}}"
}
module() {
    echo "{\"id\":\"$1\",\"moduleId\":\"$2\",\"status\":\"enabled\",$(sas "$1/$2")${3-}}"
}
edge() {
    local id=$1 parents
    shift
    parents=$(printf ',"ms-azure-iot-edge://%s-77"' "$@")
    device "$id" ",\"capabilities\":{\"iotEdge\":true},\"deviceScope\":\"ms-azure-iot-edge://$id-77\"${1:+,\"parentScopes\":[${parents:1}]}"
}
thumb() {
    printf "%${2:-40}s" '' | tr ' ' "$1"
}
disabled() {
    sed '/"moduleId"/!s/"status":"enabled"/"status":"disabled"/'
}

# What a registry can hold, into f.txt, in no useful order.
write_everything() {
    {
        edge l4 l3
        edge l2 l1
        edge l1
        edge l3 l2
        edge l5 l4 l3
        device leaf ',"deviceScope":"ms-azure-iot-edge://l5-77","parentScopes":["ms-azure-iot-edge://l5-77"]'
        module l5 filter ',"managedBy":"iotEdge","tags":{"m":1}'
        echo '{"id":"l5","moduleId":"$edgeAgent","status":"enabled","authentication":null,"properties":{"desired":{"schemaVersion":"1.1","modules":{"filter":{"version":"1.0"}}}}}'
        echo '{"id":"l5","moduleId":"$edgeHub","status":"enabled","authentication":null,"properties":{"desired":{"routes":{"r":"FROM /* INTO $upstream"}}}}'
        echo "{\"id\":\"two\",\"status\":\"enabled\",\"authentication\":{\"type\":\"selfSigned\",\"x509Thumbprint\":{\"primaryThumbprint\":\"$(thumb A)\",\"secondaryThumbprint\":\"$(thumb B 64)\"}}}"
        echo '{"id":"ca","status":"enabled","statusReason":"new: \"x\"","authentication":{"type":"certificateAuthority"},"tags":{"site":"Zürich"}}'
        device off ',"statusReason":"stolen","tags":{"n":1.0}' | disabled
        module off cam ',"properties":{"desired":{"x":{"y":[1,2]}}}'
        module off mic ',"managedBy":"me"'
        edge offedge l1 | disabled
        module offedge m
        device reports ',"properties":{"desired":{"a":1},"reported":{"fw":"1.2","n":{"k":1.0}}}'
        module ca m2 ',"properties":{"desired":{},"reported":{"up":true}}'
    } >f.txt
}
