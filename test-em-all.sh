#!/usr/bin/env bash
#
# Tests a running landscape from outside, with bash, curl and jq.
#
#   ./test-em-all.sh              tests what answers at HOST and PORT
#   ./test-em-all.sh start        starts the containers first, from docker-compose.yml or COMPOSE_FILE
#   ./test-em-all.sh start stop   and removes them at the end, also when a check fails
#
# With containers, instances of review come and go too: started, killed and started again while reads go on.
#
# It can be run again without a reset, and ends with an error at the first check that fails.

set -euo pipefail

: "${HOST=localhost}"
: "${PORT=8080}"
: "${EUREKA_PORT=8761}"
: "${PROD_ID_REVS_RECS=1}"
: "${PROD_ID_NOT_FOUND=13}"
: "${PROD_ID_NO_RECS=113}"
: "${PROD_ID_NO_REVS=213}"

URL="http://$HOST:$PORT"
REGISTRY="http://$HOST:$EUREKA_PORT/eureka"
# Every text that is written names the run, so that nothing of an earlier one can be taken for it.
RUN="$(date +%s)-$$"
# What came last.
STATUS=""
BODY=""
# Who reads in the background.
READER=""

# fail EXPECTED ACTUAL
function fail() {
  printf 'FAILED\n  expected: %s\n  came:     %s\n  status:   %s\n  body:     %s\n' "$1" "$2" "$STATUS" "$BODY" >&2
  exit 1
}

# request CURL-ARGUMENTS...: leaves STATUS and BODY, also when nobody answers.
function request() {
  local answer
  answer=$(curl -sS --max-time 10 -w '\n%{http_code}' "$@" 2>&1) || true
  STATUS="${answer##*$'\n'}"
  BODY="${answer%$'\n'*}"
}

# assertCurl STATUS CURL-ARGUMENTS...
function assertCurl() {
  local expected=$1
  shift
  printf '%.120s ... ' "$*"
  request "$@"
  [[ $STATUS == "$expected" ]] || fail "status $expected" "status $STATUS"
  echo "OK, status $STATUS"
}

# assertEqual EXPECTED JQ-FILTER: looks into the body that came last.
function assertEqual() {
  local actual
  printf '  %s ... ' "$2"
  actual=$(jq -r "$2" <<< "$BODY" 2>&1) || fail "$1" "no JSON"
  [[ $actual == "$1" ]] || fail "$1" "$actual"
  echo "OK, $actual"
}

# waitUntil WHAT SECONDS COMMAND...
function waitUntil() {
  local what=$1 tries=$(($2 * 5))
  shift 2
  printf 'Wait until %s ... ' "$what"
  while ! "$@"; do
    ((tries -= 1)) || fail "$what" "not in time"
    sleep 0.2
  done
  echo "DONE"
}

function isHealthy() {
  request "$URL/actuator/health"
  [[ $STATUS == 200 ]]
}

function isGone() {
  request "$URL/product-composite/$1"
  [[ $STATUS == 404 ]]
}

# isThere COMPOSITE: all of it, and nothing else.
function isThere() {
  request "$URL/product-composite/$(jq .productId <<< "$1")"
  [[ $STATUS == 200 ]] && jq -e --argjson expected "$1" '
    del(.serviceAddresses)
    | .recommendations |= sort_by(.recommendationId)
    | .reviews |= sort_by(.reviewId)
    | . == $expected' <<< "$BODY" > /dev/null 2>&1
}

# composite ID RECOMMENDATIONS REVIEWS
function composite() {
  jq -nc --argjson id "$1" --argjson recommendations "$2" --argjson reviews "$3" --arg run "$RUN" '{
    productId: $id,
    name: "product \($id) of run \($run)",
    weight: 100,
    recommendations: [range($recommendations) + 1 |
      {recommendationId: ., author: "author \(.)", rate: ., content: "content \(.) of run \($run)"}],
    reviews: [range($reviews) + 1 |
      {reviewId: ., author: "author \(.)", subject: "subject \(.)", content: "content \(.) of run \($run)"}]
  }'
}

function deleteComposite() {
  assertCurl 202 -X DELETE "$URL/product-composite/$1"
  waitUntil "product $1 is gone" 30 isGone "$1"
}

# recreateComposite ID RECOMMENDATIONS REVIEWS
function recreateComposite() {
  local composite sent
  composite=$(composite "$@")
  # A list that is missing is an empty one.
  sent=$(jq -c 'del(.[] | select(. == []))' <<< "$composite")
  deleteComposite "$1"
  assertCurl 202 -X POST "$URL/product-composite" -H 'Content-Type: application/json' --data "$sent"
  waitUntil "product $1 is there with $2 recommendations and $3 reviews" 30 isThere "$composite"
}

function compose() {
  if docker compose version > /dev/null 2>&1; then
    docker compose "$@"
  else
    docker-compose "$@"
  fi
}

function knowsAllApplications() {
  request "$REGISTRY/apps" -H 'Accept: application/json'
  [[ $(jq -c '[.applications.application[].name] | sort' <<< "$BODY" 2> /dev/null) == \
    '["PRODUCT","PRODUCT-COMPOSITE","RECOMMENDATION","REVIEW"]' ]]
}

# The addresses of the instances of review that answer 20 reads, one after the other.
function reviewsOver20Reads() {
  local _
  for _ in {1..20}; do
    assertCurl 200 "$URL/product-composite/$PROD_ID_REVS_RECS" > /dev/null
    jq -r '.serviceAddresses.rev' <<< "$BODY"
  done | sort -u
}

# isReadFrom NUMBER: as many instances of review answer, each of them some of 20 reads
function isReadFrom() {
  local addresses
  addresses=$(reviewsOver20Reads)
  (($(wc -l <<< "$addresses") == $1))
}

# readOn FILE: reads until it is ended, and writes down what is not whole.
function readOn() {
  while true; do
    request "$URL/product-composite/$PROD_ID_REVS_RECS"
    [[ $STATUS == 200 && $(jq '.reviews | length' <<< "$BODY") == 3 ]] || printf '%s %s\n' "$STATUS" "$BODY" >> "$1"
  done
}

# The containers that hold instances of review, whatever the compose file calls them.
function reviewContainers() {
  local service
  for service in $(compose config --services | grep '^review'); do
    compose ps -q "$service"
  done
}

# scaleReviews NUMBER: as many containers of the service review.
function scaleReviews() {
  compose up -d --no-recreate --scale "review=$1"
}

# Instances come and go while somebody reads, and he does not notice.
function comeAndGo() {
  local failures victim extra
  failures=$(mktemp)
  # Where a file has a second instance under a name of its own, that one counts too.
  extra=$(($(reviewContainers | wc -l) - 1))
  readOn "$failures" &
  READER=$!
  scaleReviews 2
  waitUntil "$((2 + extra)) instances of review are read from" 60 isReadFrom $((2 + extra))
  victim=$(reviewContainers | tail -1)
  docker kill "$victim" > /dev/null
  waitUntil "the killed one is read from no more" 60 isReadFrom $((1 + extra))
  docker start "$victim" > /dev/null
  waitUntil "it is read from again" 60 isReadFrom $((2 + extra))
  scaleReviews 3
  waitUntil "$((3 + extra)) instances are read from" 60 isReadFrom $((3 + extra))
  scaleReviews 1
  waitUntil "$((1 + extra)) is read from" 60 isReadFrom $((1 + extra))
  kill "$READER"
  wait "$READER" 2> /dev/null || true
  READER=""
  BODY=$(< "$failures") STATUS=-
  [[ ! -s $failures ]] || fail "every read whole while instances came and went" "others"
  rm -f "$failures"
}

# The exit status stays that of the checks, unless the containers cannot be removed.
function atEnd() {
  local status=$?
  [[ -z $READER ]] || kill "$READER" 2> /dev/null || true
  $stop || return 0
  ((status == 0)) || compose logs --tail=30 >&2 || true
  echo "We are done, stopping the test environment..."
  compose down --remove-orphans
}

start=false
stop=false
for argument in "$@"; do
  case $argument in
    start) start=true ;;
    stop) stop=true ;;
    *)
      echo "Usage: $0 [start] [stop]" >&2
      exit 2
      ;;
  esac
done
for tool in curl jq; do
  command -v "$tool" > /dev/null || { echo "$0 needs $tool" >&2; exit 2; }
done

echo "Start tests at $URL: $(date)"
trap atEnd EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if $start; then
  # Of the other compose files too, for all are one landscape.
  compose down --remove-orphans
  compose up -d
fi
# The health of the composite holds that of the core services.
waitUntil "$URL/actuator/health is UP" 180 isHealthy

recreateComposite "$PROD_ID_REVS_RECS" 3 3
recreateComposite "$PROD_ID_NO_RECS" 0 3
recreateComposite "$PROD_ID_NO_REVS" 3 0
deleteComposite "$PROD_ID_NOT_FOUND"

echo "A product with recommendations and reviews"
assertCurl 200 "$URL/product-composite/$PROD_ID_REVS_RECS"
assertEqual "$PROD_ID_REVS_RECS" .productId
assertEqual 3 '.recommendations | length'
assertEqual 3 '.reviews | length'

echo "A product without recommendations"
assertCurl 200 "$URL/product-composite/$PROD_ID_NO_RECS"
assertEqual "$PROD_ID_NO_RECS" .productId
assertEqual 0 '.recommendations | length'
assertEqual 3 '.reviews | length'

echo "A product without reviews"
assertCurl 200 "$URL/product-composite/$PROD_ID_NO_REVS"
assertEqual "$PROD_ID_NO_REVS" .productId
assertEqual 3 '.recommendations | length'
assertEqual 0 '.reviews | length'

echo "An unknown product"
assertCurl 404 "$URL/product-composite/$PROD_ID_NOT_FOUND"
assertEqual "No product found for productId: $PROD_ID_NOT_FOUND" .message

echo "A productId out of range, and one that is no number"
assertCurl 422 "$URL/product-composite/-1"
assertEqual "Invalid productId: -1" .message
assertCurl 400 "$URL/product-composite/invalidProductId"
assertEqual "Type mismatch." .message

echo "A body that is no JSON"
assertCurl 400 -X POST "$URL/product-composite" -H 'Content-Type: application/json' --data '{bad'
assertEqual "Failed to read HTTP message" .message

echo "Deleting twice is fine"
assertCurl 202 -X DELETE "$URL/product-composite/$PROD_ID_NO_REVS"
deleteComposite "$PROD_ID_NO_REVS"
assertCurl 404 "$URL/product-composite/$PROD_ID_NO_REVS"

echo "Health of the core services, as the composite sees them"
for service in product recommendation review; do
  assertCurl 200 "$URL/actuator/health/coreServices/$service"
  assertEqual UP .status
done

echo "The list of endpoints"
assertCurl 200 "$URL/actuator"
assertEqual true '._links.self.href | endswith("/actuator")'
assertEqual true '._links.health.href | endswith("/actuator/health")'

echo "The registry"
waitUntil "the registry lists the four applications" 30 knowsAllApplications

if $start; then
  echo "Instances of review come and go"
  comeAndGo
fi

echo "End, all tests OK: $(date)"
