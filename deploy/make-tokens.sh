#!/bin/sh
# Makes the tokens that compose.yaml needs, once: deploy/secrets/client.token is what clients send. The services hold hashes only.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
[ -e secrets/client.token ] && { echo "deploy/secrets is there already"; exit 0; }
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
entry() { printf 'tokens:\n  - {sha256: "%s", tenant: %s, roles: [%s]}\n' "$(printf %s "$1" | sha256sum | cut -d' ' -f1)" "$2" "$3"; }
client=$(random) gate=$(random)
entry "$client" local "user, admin" >secrets/clients.yaml
entry "$gate" gate gate >secrets/gate.yaml
(umask 077; printf 'REELGATE_PREPROCESS_GENERATOR_TOKEN=%s\n' "$gate" >secrets/gate.env; printf %s "$client" >secrets/client.token)
echo "clients send the token in deploy/secrets/client.token"
