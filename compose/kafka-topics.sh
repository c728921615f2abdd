#!/usr/bin/env bash
#
# Kafka's kafka-topics.sh, for the commands of those who learnt them while ZooKeeper kept the topics. Kafka 4 has none and
# refuses --zookeeper; here the broker of this container is asked in its place. Everything else goes through as it is.

set -euo pipefail

BROKER=localhost:9092
arguments=()
named=false
replaced=false
while (($# > 0)); do
  case $1 in
    --zookeeper=*) replaced=true ;;
    --zookeeper)
      # Without a value it is Kafka that complains.
      if (($# > 1)); then
        replaced=true
        shift
      else
        arguments+=("$1")
      fi
      ;;
    *)
      [[ $1 != --bootstrap-* ]] || named=true
      arguments+=("$1")
      ;;
  esac
  shift
done

if $replaced && $named; then
  echo "There is no ZooKeeper any more: --zookeeper is left out." >&2
elif $replaced; then
  echo "There is no ZooKeeper any more: --bootstrap-server $BROKER is asked instead." >&2
  arguments+=(--bootstrap-server "$BROKER")
fi
exec "$(dirname "$0")/kafka-run-class.sh" org.apache.kafka.tools.TopicCommand "${arguments[@]}"
