# The files of the image, in a folder.
# shellcheck shell=bash

# The libraries that a program loads, at the places where it looks for them.
libraries() {
    ldd "$1" 2>/dev/null | awk '$2 == "=>" { print $3; next } $1 ~ /^\// { print $1 }'
}

# fill ROOT BINARY: what is in the image. A program for another architecture was stripped when it was built.
fill() {
    local root=$1 library
    rm -rf "$root"
    mkdir -p "$root"/{etc,tmp,var/lib/task-manager}
    # A volume at these places keeps their owner and mode; run without one, the archive can be made here.
    chmod 1777 "$root/tmp" "$root/var/lib/task-manager"
    install -m 0755 "$2" "$root/task-manager"
    strip --strip-all "$root/task-manager" 2>/dev/null || true
    for library in $(libraries "$2"); do
        install -D -m 0755 "$library" "$root$library"
    done
    printf 'root:x:0:0:root:/:/sbin/nologin\ntask-manager:x:65532:65532:task-manager:/:/sbin/nologin\n' >"$root/etc/passwd"
    printf 'root:x:0:\ntask-manager:x:65532:\n' >"$root/etc/group"
    printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
}
