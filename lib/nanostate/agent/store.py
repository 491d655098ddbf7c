# The cache of modules and the folders of steps, wherever there is room.
import errno
import os
import time

CACHE_BYTES_MAX = 256 * 1024 * 1024
CACHE_AGE_S_MAX = 30 * 86400
# What was used within a day may be in use now.
CACHE_AGE_S_MIN = 86400


def private_folder(path):
    """Makes it if need be. For its owner alone: nobody else may have put anything there."""
    os.makedirs(path, 0o700, exist_ok=True)
    kind = os.lstat(path)
    if kind.st_uid != os.geteuid() or kind.st_mode & 0o170077 != 0o040000:
        raise OSError(errno.EPERM, "is not a folder for its owner alone", path)
    return path


class Store:
    """
    Where files can be put: the user's cache folder, or else a fresh folder for this agent alone. A place that turns out
    to be full, or not to be ours alone, is left for the next one.
    """

    def __init__(self, wire):
        self.wire = wire
        self.place = None
        self.reasons = []
        self.ways = [(private_folder, os.path.expanduser("~/.cache/salar-nanostate"))]
        for base in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp"):
            if base:
                self.ways.append((self._fresh, base))
        self.fresh = []
        self.wants = 0

    def _fresh(self, base):
        path = os.path.join(base, "salar-nanostate-" + os.urandom(12).hex())
        os.mkdir(path, 0o700)
        self.fresh.append(path)
        return path

    def put(self, action):
        """action(folder) where it succeeds."""
        while True:
            try:
                if self.place is None:
                    if not self.ways:
                        raise NoRoom("; ".join(self.reasons))
                    make, path = self.ways.pop(0)
                    self.place = make(path)
                return action(self.place)
            except OSError as error:
                self.reasons.append("%s: %s" % (error.filename or path, error.strerror))
                self.place = None

    def module(self, name, deadline):
        """The cached file with this hash."""
        def find(place):
            path = os.path.join(place, name)
            if has_hash(path, name):
                touch(path)
            else:
                self.receive(name, path, deadline)
                self._evict(place)
            return path
        return self.put(find)

    def unpacked(self, name, deadline):
        """(the cached zip with this hash, the folder with what is in it and, by and by, its bytecode)"""
        def find(place):
            archive = self.module(name, deadline)
            folder = archive + ".d"
            if not unpack(archive, folder):
                touch(folder)
            return archive, folder
        return self.put(find)

    def receive(self, name, path, deadline):
        """Asks the other side for a content and puts it there."""
        import hashlib
        self.wants += 1
        self.wire.send("want", want=self.wants, hash=name)
        part = "%s.part-%s" % (path, os.urandom(6).hex())
        hashed = hashlib.sha256()
        problem = None
        target = None
        try:
            try:
                target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
            except OSError as error:
                problem = error
            last = False
            while not last:
                kind, header, body = self.wire.take(deadline)
                if kind not in ("blob", "no-blob"):
                    raise BadPeer("%s instead of the content that was asked for" % kind)
                if header["want"] != self.wants:
                    # The rest for a step whose time was used up.
                    continue
                if kind == "no-blob":
                    raise NoContent(header["why"])
                last = header["last"]
                hashed.update(body)
                # The rest is still on its way when a write fails: it has to be taken off the wire.
                while problem is None and body:
                    try:
                        body = body[os.write(target, body):]
                    except OSError as error:
                        error.filename = path
                        problem = error
            if problem is not None:
                raise problem
            if hashed.hexdigest() != name:
                raise BadPeer("a content that does not have its hash")
            os.rename(part, path)
        finally:
            if target is not None:
                os.close(target)
            remove(part)

    def _evict(self, place):
        """Of what has not been used for a day: what is too old, and the oldest of what is too much."""
        now = time.time()
        entries = []
        for entry in os.scandir(place):
            kind = entry.stat(follow_symlinks=False)
            size = tree_bytes(entry.path) if entry.is_dir(follow_symlinks=False) else kind.st_size
            entries.append((kind.st_mtime, size, entry.path))
        total = sum(size for _, size, _ in entries)
        for used, size, path in sorted(entries):
            age = now - used
            if age > CACHE_AGE_S_MAX or (total > CACHE_BYTES_MAX and age > CACHE_AGE_S_MIN):
                remove(path)
                total -= size

    def close(self):
        for path in self.fresh:
            remove(path)


def has_hash(path, name):
    import hashlib
    hashed = hashlib.sha256()
    try:
        source = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    with os.fdopen(source, "rb") as file:
        for piece in iter(lambda: file.read(16 * CHUNK), b""):
            hashed.update(piece)
    return hashed.hexdigest() == name


def unpack(archive, folder):
    """False when all of it was there. A file that is missing or cut (a cleaner, a full disk) means: once more."""
    import zipfile
    with zipfile.ZipFile(archive) as source:
        if is_whole(folder, source):
            return False
        part = "%s.part-%s" % (folder, os.urandom(6).hex())
        try:
            source.extractall(part)
            try:
                os.rename(part, folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                # Another agent of this user was faster, and may use it already. Or else it is cut.
                if not is_whole(folder, source):
                    remove(folder)
                    os.rename(part, folder)
        finally:
            remove(part)
    return True


def is_whole(folder, archive):
    return all(file_bytes(os.path.join(folder, entry.filename)) == entry.file_size for entry in archive.infolist())


def file_bytes(path):
    try:
        return os.lstat(path).st_size
    except OSError:
        return -1


def tree_bytes(path):
    return sum(file_bytes(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def touch(path):
    """At most once an hour: a run that changes nothing writes nothing."""
    try:
        if time.time() - os.lstat(path).st_mtime > 3600:
            os.utime(path)
    except OSError:
        pass


def remove(path):
    try:
        os.unlink(path)
    except IsADirectoryError:
        import shutil
        shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        # What unlink says of a folder on other systems than Linux.
        if error.errno == errno.EPERM:
            import shutil
            shutil.rmtree(path, ignore_errors=True)
