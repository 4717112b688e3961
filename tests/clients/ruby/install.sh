#!/bin/sh
# googleauth and its dependencies, from Debian's next release: the googleauth of Debian 12 does not support external_account.
# And that of Debian 12: a later one does not ask for a metadata server on a machine that is not Google's.
# They are pure Ruby, verified by apt and unpacked here, so that no package of the system is replaced.
set -eu

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$')
place=$PWD
from() {
  apt-get -qq -o Dir::Etc::SourceList="$place/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State="$place/apt" -o Dir::State::status="$place/apt/status" -o Dir::Cache="$place/apt" \
    -o APT::Sandbox::User=root -o Acquire::Retries=3 "$@"
}
unpack() {
  suite=$1 root=$2
  shift 2
  rm -rf apt debs "$root"
  mkdir -p apt/lists/partial apt/archives/partial debs
  : >apt/status
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >apt/sources.list
  from update
  (cd debs && from download "$@")
  for package in debs/*.deb; do dpkg-deb -x "$package" "$root"; done
  rm -rf apt debs
}

unpack testing root ruby-googleauth ruby-addressable ruby-base64 ruby-faraday ruby-faraday-net-http ruby-google-cloud-env \
  ruby-google-logging-utils ruby-jwt ruby-os ruby-public-suffix ruby-signet
unpack bookworm root12 ruby-googleauth ruby-addressable ruby-faraday ruby-jwt ruby-memoist ruby-multi-json \
  ruby-multipart-post ruby-os ruby-public-suffix ruby-ruby2-keywords ruby-signet
