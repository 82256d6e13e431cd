#!/usr/bin/env bash
# Makes local images with the names of the Dockerfile's base images, for a machine with buildah and a Debian mirror but
# without the registries (as root; packages: buildah debootstrap):
#
#   export CONTAINERS_STORAGE_CONF=target/image/storage.conf    # keeps the stand-ins out of the machine's own storage
#   .ci/stand-ins.sh
#   buildah bud --isolation chroot --pull-never --tag device-management .
#
# The build image gets the machine's Rust toolchain, compiler packages and CA certificates. The runtime image is made as
# distroless makes it: packages unpacked without dpkg, scripts and a shell. Both serve tests and must not be published.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -n ${CONTAINERS_STORAGE_CONF:-} && ! -e $CONTAINERS_STORAGE_CONF ]]; then
    folder=$(realpath -m "$(dirname "$CONTAINERS_STORAGE_CONF")")
    mkdir -p "$folder"
    printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' "$folder" "$folder" \
        >"$CONTAINERS_STORAGE_CONF"
fi

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
mapfile -t bases < <(sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile)
build=docker.io/library/${bases[0]} runtime=${bases[1]}

# missing IMAGE: whether the image has to be made.
missing() {
    ! buildah inspect --type image "$1" >/dev/null 2>&1
}

if missing "$build"; then
    container=$(buildah from scratch)
    root=$(buildah mount "$container")
    debootstrap --variant=minbase --include=build-essential,ca-certificates bookworm "$root" "$mirror" >/dev/null
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    toolchain=$(rustc --print sysroot)
    cp -a "$toolchain/bin" "$toolchain/lib" "$root/usr/local/"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    buildah config --env PATH=/usr/local/bin:/usr/bin:/bin "$container"
    buildah commit --quiet --rm "$container" "$build"
fi

if missing "$runtime"; then
    container=$(buildah from scratch)
    root=$(buildah mount "$container")
    packages=$(mktemp -d)
    trap 'rm -rf "$packages"' EXIT
    chown _apt "$packages"
    (cd "$packages" && apt-get download --quiet --quiet base-files ca-certificates gcc-12-base libc6 libgcc-s1 libgomp1 \
        libssl3 libstdc++6 netbase tzdata)
    for package in "$packages"/*.deb; do dpkg-deb --extract "$package" "$root"; done
    rm -rf "${root:?}"/{bin,sbin,usr/bin,usr/sbin,usr/share/man}
    install -D --mode=644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    echo 'root:x:0:0:root:/root:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$root/etc/passwd"
    echo 'root:x:0:
nonroot:x:65532:' >"$root/etc/group"
    install --directory --owner=65532 --group=65532 --mode=700 "$root/home/nonroot"
    buildah config --user 65532 --workingdir /home/nonroot --env PATH=/usr/local/bin:/usr/bin:/bin \
        --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container"
    buildah commit --quiet --rm "$container" "$runtime"
fi
