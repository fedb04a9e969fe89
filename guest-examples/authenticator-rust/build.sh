#!/usr/bin/env bash
exec "$(dirname "$0")/../build.sh" authenticator-rust
