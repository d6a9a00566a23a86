#!/bin/sh
# Puts the image that was built last in the place of the gateway that runs, without refusing a request or cutting a stream:
#
#   docker build -f docker/Dockerfile -t kiro-gateway_kiro-gateway:latest .
#   sh docker/update.sh
#
# The first time it starts the proxy and a gateway.
set -eu
cd "$(dirname "$0")/.."
compose() { docker compose -f docker/docker-compose.update.yml --profile b "$@"; }

running=$(compose ps --services --status running)
case $running in
  *gateway-a*gateway-b* | *gateway-b*gateway-a*)
    echo 'Both gateways run: an update is not over yet. See "docker compose ls" and docker/README.md.' >&2
    exit 1 ;;
  *gateway-a*) old=gateway-a new=gateway-b ;;
  *) old=gateway-b new=gateway-a ;;
esac

echo "starting $new"
if ! compose up -d --no-deps --force-recreate --wait "$new"; then
  compose logs --tail 20 "$new" >&2
  compose rm -fs "$new"
  echo "$new does not get healthy and was removed; what ran before goes on." >&2
  exit 1
fi
compose up -d --no-deps proxy
echo "stopping $old: it ends when its last stream has"
compose stop "$old"
compose rm -f "$old"
