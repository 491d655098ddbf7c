/** Packages on a real SeaweedFS, mounted by the state on two throw-away hosts; and what the other kinds come to where they cannot run. */
import assert from "node:assert/strict";
import { type Host, type Hosts, startHosts } from "../parts/hosts.ts";
import { ensureSeaweedfs, startSeaweedfs } from "../parts/seaweedfs.ts";
import { waitFor } from "../parts/wait.ts";
import { changes, faults, shippedStates } from "./staging_host.ts";

const DISK_MB = 600;
const HUB = "10.77.0.1";
const AT = "/var/spacewalk/packages";
const SEEN_MS_MAX = 5_000;

async function twoHosts(hosts: Hosts): Promise<[Host, Host]> {
  const [one, two] = hosts.list;
  assert.ok(one && two);
  // As on a Uyuni server: the folder, and who writes there. /dev/fuse is the kernel's, hosts begin without it.
  for (const host of [one, two]) {
    await host.exec(
      `mkdir -p ${AT} && groupadd www && useradd -g www wwwrun && mknod -m 666 /dev/fuse c 10 229`,
    );
  }
  return [one, two];
}

Deno.test("packages-seaweedfs: two nodes share what one of them writes; a killed mount is mended", async () => {
  const { weed } = await ensureSeaweedfs();
  await using hosts = await startHosts({ count: 2, diskMb: DISK_MB });
  await using _store = await startSeaweedfs({ address: HUB, enter: hosts.enter });
  const [one, two] = await twoHosts(hosts);
  const states = await shippedStates(hosts);
  const params = { packages: "seaweedfs", packages_source: `${HUB}:8888/packages`, weed };

  for (const host of [one, two]) {
    const first = await states.apply(host, "packages", { params });
    assert.equal(first.code, 0, faults(first));
    const second = await states.apply(host, "packages", { params });
    assert.deepEqual([faults(second), changes(second)], ["", []]);
  }

  const file = `${AT}/NULL/abc/bash/5.2/x86_64/abc/bash.rpm`;
  await one.exec(
    `setpriv --reuid wwwrun --regid www --clear-groups sh -c 'mkdir -p $(dirname ${file}) && echo rpm >${file}'`,
  );
  await waitFor(
    "the file on the other node",
    SEEN_MS_MAX,
    async () =>
      (await two.exec(`cat ${file}; stat -c %U:%G ${file}`, { okCodes: [0, 1] })).stdout ===
        "rpm\nwwwrun:www\n",
  );

  await one.exec("kill -9 $(pgrep -x weed)");
  assert.equal((await one.exec(`ls ${AT}`, { okCodes: [0, 2] })).code, 2);
  const mended = await states.apply(one, "packages", { params });
  assert.equal(mended.code, 0, faults(mended));
  assert.deepEqual(changes(mended), ["mounted/0 stale", "mounted/6 mount"]);
  assert.equal((await one.exec(`cat ${file}`)).stdout, "rpm\n");
});

Deno.test("packages-*: files that a mount would hide are refused, and so is a kind whose program is missing", async () => {
  await using hosts = await startHosts({ count: 2 });
  const [one, two] = await twoHosts(hosts);
  const states = await shippedStates(hosts);
  const params = { packages_source: "store.example:/packages" };
  await one.exec(`touch ${AT}/bash.rpm`);
  for (const kind of ["seaweedfs", "nfs", "cephfs", "glusterfs"]) {
    const hiding = await states.apply(one, `packages-${kind}`, { params });
    assert.match(faults(hiding), /files are in \/var\/spacewalk\/packages; move them into the store first/);
    const lacking = await states.apply(two, `packages-${kind}`, { params });
    assert.match(faults(lacking), /^failed program: .*Cannot mount packages: \S+ is not there; install /);
  }
  assert.equal((await one.exec("cat /etc/fstab 2>/dev/null | grep -c store.example || true")).stdout, "0\n");
});

Deno.test("packages-nfs: goes as far as this kernel, and a second try changes nothing more", async () => {
  await using hosts = await startHosts({ count: 2 });
  const [host] = await twoHosts(hosts);
  const states = await shippedStates(hosts);
  await host.exec(
    "printf '#!/bin/sh\\necho no NFS here >&2; exit 32\\n' >/sbin/mount.nfs4 && chmod 755 /sbin/mount.nfs4",
  );
  const params = { packages_source: "store.example:/packages" };
  const first = await states.apply(host, "packages-nfs", { params });
  assert.match(faults(first), /^failed mount: .*no NFS here/);
  const line = `store.example:/packages ${AT} nfs4 hard,noatime,_netdev,nofail 0 0\n`;
  assert.equal((await host.exec("grep nfs4 /etc/fstab")).stdout, line);
  assert.deepEqual(changes(await states.apply(host, "packages-nfs", { params })), []);
});
