#include "support/faulty_disk.h"

#include "support/cmocka_all.h"

#include <sqlite3.h>
#include <string.h>

struct faulty_disk faulty_disk;

struct faulty_file {
	sqlite3_file base;
	sqlite3_file real[]; /* the true file, as much as its own VFS asks for */
};

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct faulty_file *)(void *)f)->real;
}

static int do_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int do_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	int error = atomic_load(&faulty_disk.read_error);
	return error ? error : real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int do_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	int error = atomic_load(&faulty_disk.write_error);
	long count = atomic_fetch_add(&faulty_disk.n_writes, 1) + 1;
	if (error && count >= atomic_load(&faulty_disk.fail_nth_write))
		return error;
	return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}

static int do_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int do_sync(sqlite3_file *f, int flags)
{
	(void)f; /* no test pulls the plug */
	(void)flags;
	return SQLITE_OK;
}

static int do_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int do_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int do_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int do_check_lock(sqlite3_file *f, int *ret)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int do_control(sqlite3_file *f, int what, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), what, arg);
}

static int do_sector_size(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int do_characteristics(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int do_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int do_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void do_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int do_shm_unmap(sqlite3_file *f, int is_deleted)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), is_deleted);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = do_close,
	.xRead = do_read,
	.xWrite = do_write,
	.xTruncate = do_truncate,
	.xSync = do_sync,
	.xFileSize = do_size,
	.xLock = do_lock,
	.xUnlock = do_unlock,
	.xCheckReservedLock = do_check_lock,
	.xFileControl = do_control,
	.xSectorSize = do_sector_size,
	.xDeviceCharacteristics = do_characteristics,
	.xShmMap = do_shm_map,
	.xShmLock = do_shm_lock,
	.xShmBarrier = do_shm_barrier,
	.xShmUnmap = do_shm_unmap,
};

static sqlite3_vfs *real_vfs, vfs;

static int do_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	(void)v;
	int error = atomic_load(&faulty_disk.open_error);
	f->pMethods = NULL;
	if (error)
		return error;
	memset(real_of(f), 0, (size_t)real_vfs->szOsFile);
	int rc = real_vfs->xOpen(real_vfs, name, real_of(f), flags, ret_flags);
	if (real_of(f)->pMethods)
		f->pMethods = &methods;
	return rc;
}

void faulty_disk_mend(void)
{
	atomic_store(&faulty_disk.write_error, 0);
	atomic_store(&faulty_disk.read_error, 0);
	atomic_store(&faulty_disk.open_error, 0);
	atomic_store(&faulty_disk.n_writes, 0);
	atomic_store(&faulty_disk.fail_nth_write, 0);
}

void faulty_disk_insert(void)
{
	faulty_disk_mend();
	if (real_vfs)
		return;
	real_vfs = sqlite3_vfs_find(NULL);
	assert_non_null(real_vfs);
	vfs = *real_vfs;
	vfs.zName = "faulty";
	vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
	vfs.xOpen = do_open;
	assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}
