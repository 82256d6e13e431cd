# Functions of all examples: send a request to the service, check its status, keep its answer. Sourced, not run.
# shellcheck shell=sh

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

# request "202" POST /path [curl's arguments]: sends the request and prints the status. Several expected statuses are
# separated by blanks: "200 404". The body of the answer is in $answer.
request() {
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

# The same with the access token, and with a JSON body if there is one: text, or @file.
call() {
    if [ $# -gt 3 ]; then
        request "$1" "$2" "$3" --header "Authorization: Bearer $token" \
            --header 'Content-Type: application/json' --data-binary "$4"
    else
        request "$1" "$2" "$3" --header "Authorization: Bearer $token"
    fi
}

# fields NAME: every string value of this field in the answer's JSON, one per line.
fields() {
    grep -o "\"$1\":\"[^\"]*\"" "$answer" | cut -d '"' -f 4
}

# field NAME: the first of them.
field() {
    fields "$1" | head -n 1
}

sign_in() {
    request 200 POST /oauth2/token --user "$client_id:$client_secret" --data grant_type=client_credentials
    token=$(field access_token)
}
