#!/bin/sh
# Binds the device of the example in the API reference. The example's signature is over the code 212212, the sandbox's
# default (SANDBOX_OTP).
#
# Start the service with `cargo run` in another shell, then run `examples/bind.sh`. It needs curl.
# BASE_URL, CLIENT_ID and CLIENT_SECRET name another service or client.
set -eu

here=$(dirname "$0")
base_url=${BASE_URL:-http://127.0.0.1:8080}
client_id=${CLIENT_ID:-sandbox}
client_secret=${CLIENT_SECRET:-sandbox}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
answer=$folder/answer

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# send "202" POST /path [arguments of curl]: sends the request and prints the status. Several expected statuses are
# separated by blanks: "200 404". The body of the answer is in $answer.
send() {
    expected=$1 method=$2 path=$3
    shift 3
    status=$(curl --silent --show-error --output "$answer" --write-out '%{http_code}' \
        --request "$method" "$@" "$base_url$path") || fail "no answer from $base_url: is the service running there?"
    printf '%s  %-6s %s\n' "$status" "$method" "$path"
    case " $expected " in
        *" $status "*) ;;
        *) fail "expected $expected, got $status: $(cat "$answer")" ;;
    esac
}

call() {
    send "$@" --header "Authorization: Bearer $token" --header 'Content-Type: application/json'
}

# fields NAME: every string value of this field in the answer's JSON, one per line.
fields() {
    grep -o "\"$1\":\"[^\"]*\"" "$answer" | cut -d '"' -f 4
}

person=ec3d16cbc106f481b72d881d90c89cc5cper

echo '# Get an access token.'
send 200 POST /oauth2/token --user "$client_id:$client_secret" --data grant_type=client_credentials
token=$(fields access_token)

echo '# Delete the number and the devices of an earlier run.'
call '200 404' DELETE "/v1/persons/$person/mobile_number"
call 200 GET "/v1/mfa/devices?filter%5Bperson_id%5D=$person"
for device in $(fields id); do
    call 204 DELETE "/v1/mfa/devices/$device"
done

echo '# Give the person a mobile number that the partner has verified.'
call 201 POST "/v1/persons/$person/mobile_number" --data '{"number": "+49 151 12345678", "verified": true}'

echo '# Request a device. The person gets the code by SMS.'
call 202 POST /v1/mfa/devices --data "@$here/create-device.json"
device=$(fields id | head -n 1)

echo '# Answer the challenge, whose id is the id of the device, with the code signed by the key of the device.'
call 204 PUT "/v1/mfa/challenges/signatures/$device" --data "@$here/verify-device.json"

echo '# The device is bound.'
call 200 GET "/v1/mfa/devices/$device"
cat "$answer"
echo
