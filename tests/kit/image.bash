# SPDX-License-Identifier: Apache-2.0
# Helpers for bats: a small image, made here, for engines that take one. No registry is asked.

# image_rootfs DIR: busybox and its links
image_rootfs() {
	local name
	mkdir -p "$1"/{bin,data,dev,etc,proc,run,sys,tmp,vol}
	cp "$(command -v busybox)" "$1/bin/busybox"
	for name in sh cat echo mv sleep test top ps touch rm ls; do
		ln -sf busybox "$1/bin/$name"
	done
	echo root:x:0:0::/:/bin/sh > "$1/etc/passwd"
	echo root:x:0: > "$1/etc/group"
}

blob() { # blob LAYOUT FILE: moves it under its digest, prints "sha256:... size"
	local sum
	sum=$(sha256sum < "$2" | cut -d' ' -f1)
	mv "$2" "$1/blobs/sha256/$sum"
	echo "sha256:$sum $(stat -c %s "$1/blobs/sha256/$sum")"
}

# oci_image LAYOUT TAR NAME: an OCI image layout in directory LAYOUT, packed into TAR
oci_image() {
	local l=$1 diff layer config manifest
	mkdir -p "$l/blobs/sha256"
	image_rootfs "$l.rootfs"
	tar -C "$l.rootfs" --numeric-owner --owner=0 --group=0 -cf "$l.layer" .
	diff=sha256:$(sha256sum < "$l.layer" | cut -d' ' -f1)
	read -r -a layer <<< "$(blob "$l" "$l.layer")"
	echo '{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/sh"],"Env":["PATH=/bin"]},
		"rootfs":{"type":"layers","diff_ids":["'"$diff"'"]}}' | jq -c . > "$l.config"
	read -r -a config <<< "$(blob "$l" "$l.config")"
	echo '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
		"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"'"${config[0]}"'","size":'"${config[1]}"'},
		"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"'"${layer[0]}"'","size":'"${layer[1]}"'}]}' |
		jq -c . > "$l.manifest"
	read -r -a manifest <<< "$(blob "$l" "$l.manifest")"
	echo '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",
		"digest":"'"${manifest[0]}"'","size":'"${manifest[1]}"',
		"annotations":{"io.containerd.image.name":"'"$3"'","org.opencontainers.image.ref.name":"latest"}}]}' |
		jq -c . > "$l/index.json"
	echo '{"imageLayoutVersion":"1.0.0"}' > "$l/oci-layout"
	tar -C "$l" -cf "$2" .
}
