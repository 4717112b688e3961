#!/bin/sh
# googleauth and its dependencies, from Debian's next release: the googleauth of Debian 12 does not support external_account.
# They are pure Ruby, verified by apt and unpacked here, so that no package of the system is replaced.
set -eu

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$')
rm -rf apt debs root
mkdir -p apt/lists/partial apt/archives/partial debs
: >apt/status
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror testing main" >apt/sources.list
place=$PWD
next() {
  apt-get -qq -o Dir::Etc::SourceList="$place/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State="$place/apt" -o Dir::State::status="$place/apt/status" -o Dir::Cache="$place/apt" \
    -o APT::Sandbox::User=root -o Acquire::Retries=3 "$@"
}

next update
(cd debs && next download ruby-googleauth ruby-addressable ruby-base64 ruby-faraday ruby-faraday-net-http ruby-google-cloud-env \
  ruby-google-logging-utils ruby-jwt ruby-os ruby-public-suffix ruby-signet)
for package in debs/*.deb; do dpkg-deb -x "$package" root; done
rm -rf apt debs
