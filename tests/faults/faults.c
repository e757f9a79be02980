/*
 * Faults for tests: raises an ERROR, or sends a cancel, when omendb makes its n-th call of a kind into PostgreSQL or to malloc.
 * It changes the addresses that the dynamic linker filled into the loaded library (Elf64_Rela), so the library under test is the
 * one that is released. For x86_64 and glibc.
 *
 *   fault_arm(kind text, n bigint, how text)   the n-th call from now on fails; 0 only counts. how: 'error' or 'cancel'
 *   fault_seen()                               calls of the kind since then
 *   fault_where()                              the function whose call failed, or NULL; disarms
 *   fault_leaks()                              pins, threads and temporary files of this backend that should not be there
 *   fault_memory()                             bytes allocated in this process
 */
#define _GNU_SOURCE
#include "postgres.h"

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/buf_internals.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

/* The calls that may fail, by kind. What only releases may not: it is called while an ERROR is cleaned up after. */
static const struct { const char *kind, *name; } calls[] = {
	{"read", "ReadBuffer"}, {"read", "ReadBufferExtended"}, {"read", "ReadRecentBuffer"}, {"read", "PrefetchBuffer"},
	{"read", "RelationGetNumberOfBlocksInFork"}, {"read", "BufFileRead"},
	{"write", "GenericXLogStart"}, {"write", "GenericXLogRegisterBuffer"}, {"write", "GenericXLogFinish"},
	{"write", "XLogBeginInsert"},
	{"write", "log_newpages"}, {"write", "log_newpage_range"}, {"write", "smgrextend"}, {"write", "smgrimmedsync"},
	{"write", "BufFileCreateTemp"}, {"write", "BufFileWrite"}, {"write", "BufFileSeek"},
	{"write", "LockPage"}, {"write", "LockRelationForExtension"},
	{"alloc", "palloc"}, {"alloc", "palloc0"}, {"alloc", "MemoryContextAlloc"}, {"alloc", "MemoryContextAllocZero"},
	{"alloc", "AllocSetContextCreateInternal"}, {"alloc", "cstring_to_text_with_len"}, {"alloc", "heap_form_tuple"},
	{"alloc", "CreateExecutorState"}, {"alloc", "MakePerTupleExprContext"}, {"alloc", "table_slot_create"},
	{"alloc", "lappend"}, {"alloc", "copyObjectImpl"}, {"alloc", "RelationGetIndexScan"}, {"alloc", "RegisterSnapshot"},
	{"alloc", "build_reloptions"}, {"alloc", "deconstruct_array"},
	{"detoast", "pg_detoast_datum"}, {"detoast", "index_beginscan"}, {"detoast", "index_rescan"},
	{"detoast", "index_getnext_slot"}, {"detoast", "slot_getsomeattrs_int"}, {"detoast", "nocachegetattr"},
	{"catalog", "RelationIdGetRelation"}, {"catalog", "index_open"}, {"catalog", "table_open"}, {"catalog", "try_table_open"},
	{"catalog", "try_relation_open"}, {"catalog", "index_getprocid"}, {"catalog", "index_getprocinfo"}, {"catalog", "fmgr_info"},
	{"catalog", "FunctionCall1Coll"}, {"catalog", "BuildIndexInfo"}, {"catalog", "FormIndexDatum"},
	{"catalog", "IndexGetRelation"}, {"catalog", "RelationGetIndexList"}, {"catalog", "get_opclass_family"},
	{"catalog", "get_opclass_input_type"}, {"catalog", "get_opfamily_proc"}, {"catalog", "get_opfamily_member"},
	{"catalog", "get_rel_name"}, {"catalog", "getBaseType"}, {"catalog", "getTypeInputInfo"}, {"catalog", "format_type_be"},
	{"catalog", "systable_beginscan"}, {"catalog", "systable_getnext"}, {"catalog", "GetTransactionSnapshot"},
	{"catalog", "BeginInternalSubTransaction"}, {"catalog", "get_call_result_type"}, {"catalog", "get_tablespace_page_costs"},
	{"parallel", "plan_create_index_workers"}, {"parallel", "CreateParallelContext"}, {"parallel", "InitializeParallelDSM"},
	{"parallel", "LaunchParallelWorkers"}, {"parallel", "shm_mq_attach"}, {"parallel", "shm_mq_receive"},
	{"parallel", "WaitForParallelWorkersToFinish"},
	{"interrupt", "ProcessInterrupts"}, {"interrupt", "vacuum_delay_point"},
	{"malloc", "malloc"}, {"malloc", "calloc"}, {"malloc", "realloc"},
};

#define MOST 128
StaticAssertDecl(lengthof(calls) <= MOST, "as many trampolines as calls");

/* The target of the trampolines. */
void *fault_real[MOST];
static char armed_kind[16];
static int64 armed_at, seen;
static bool cancels;
static const char *where;
static pthread_t main_thread;

/* Called before each call; false if the call is to be left out, and returns 0. */
bool fault_point(int64 call);

bool
fault_point(int64 call)
{
	const char *kind = calls[call].kind;
	bool		is_malloc = strcmp(kind, "malloc") == 0;

	if (!armed_kind[0] || (!is_malloc && !pthread_equal(pthread_self(), main_thread)))
		return true;
	/* Interrupts are pending all the time, so that each check for them becomes a call. */
	if (strcmp(armed_kind, "interrupt") == 0)
	{
		if (strcmp(calls[call].name, "ProcessInterrupts") != 0)
			InterruptPending = true;
		else if (!QueryCancelPending && !ProcDiePending)
			InterruptPending = false;
	}
	/* A failed allocation in a critical section ends the server, as Postgres wants it. */
	if (strcmp(kind, armed_kind) != 0 || CritSectionCount > 0)
		return true;
	if (strcmp(kind, "interrupt") == 0 && InterruptHoldoffCount > 0)
		return true;
	if (__atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED) != armed_at)
		return true;
	where = calls[call].name;
	if (is_malloc)
		return false;
	armed_kind[0] = '\0';
	if (cancels)
	{
		InterruptPending = true;
		QueryCancelPending = true;
		return true;
	}
	ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("injected fault")));
}

/*
 * A trampoline per call: it keeps the registers of arguments, asks fault_point, and jumps to the call or returns 0.
 */
asm(
	".text\n"
	".balign 16\n"
	"fault_common:\n"
	"	push %rax\n	push %rdi\n	push %rsi\n	push %rdx\n	push %rcx\n	push %r8\n	push %r9\n"
	"	sub $136, %rsp\n"
	"	movups %xmm0, (%rsp)\n	movups %xmm1, 16(%rsp)\n	movups %xmm2, 32(%rsp)\n	movups %xmm3, 48(%rsp)\n"
	"	movups %xmm4, 64(%rsp)\n	movups %xmm5, 80(%rsp)\n	movups %xmm6, 96(%rsp)\n	movups %xmm7, 112(%rsp)\n"
	"	mov 192(%rsp), %rdi\n"
	"	call fault_point@PLT\n"
	"	movups (%rsp), %xmm0\n	movups 16(%rsp), %xmm1\n	movups 32(%rsp), %xmm2\n	movups 48(%rsp), %xmm3\n"
	"	movups 64(%rsp), %xmm4\n	movups 80(%rsp), %xmm5\n	movups 96(%rsp), %xmm6\n	movups 112(%rsp), %xmm7\n"
	"	add $136, %rsp\n"
	"	mov 56(%rsp), %r11\n"
	"	mov fault_real@GOTPCREL(%rip), %r10\n"
	"	mov (%r10,%r11,8), %r11\n"
	"	mov %eax, %r10d\n"
	"	pop %r9\n	pop %r8\n	pop %rcx\n	pop %rdx\n	pop %rsi\n	pop %rdi\n	pop %rax\n"
	"	add $8, %rsp\n"
	"	test %r10b, %r10b\n"
	"	je 1f\n"
	"	jmp *%r11\n"
	"1:	xor %eax, %eax\n"
	"	ret\n"
	".balign 16\n"
	"fault_trampolines:\n"
	".set i, 0\n"
	".rept 128\n"
	"	.balign 16\n"
	"	pushq $i\n"
	"	jmp fault_common\n"
	"	.set i, i + 1\n"
	".endr\n"
);
extern char fault_trampolines[] __attribute__((visibility("hidden")));

static int	hooked;

/* Puts a trampoline where the linker put the address of one of the calls. */
static void
hook(ElfW(Addr) base, const ElfW(Sym) *symbols, const char *names, const ElfW(Rela) *relocation)
{
	const char *name = names + symbols[ELF64_R_SYM(relocation->r_info)].st_name;
	void	  **place = (void **) (base + relocation->r_offset);
	uintptr_t	page = (uintptr_t) place & ~(uintptr_t) 4095;

	switch (ELF64_R_TYPE(relocation->r_info))
	{
		case R_X86_64_GLOB_DAT:
		case R_X86_64_JUMP_SLOT:
		case R_X86_64_64:
			break;
		default:
			return;
	}
	for (int call = 0; call < lengthof(calls); call++)
	{
		if (strcmp(name, calls[call].name) != 0)
			continue;
		if (mprotect((void *) page, 4096, PROT_READ | PROT_WRITE) != 0)
			elog(ERROR, "could not make the addresses of calls writable: %m");
		fault_real[call] = *place;
		*place = fault_trampolines + 16 * call;
		hooked++;
		return;
	}
}

static int
hook_library(struct dl_phdr_info *info, size_t size, void *argument)
{
	const ElfW(Dyn) *dynamic = NULL;
	const ElfW(Sym) *symbols = NULL;
	const char *names = NULL;
	const char *file = strrchr(info->dlpi_name, '/');
	const ElfW(Rela) *tables[2] = {0};
	size_t		lengths[2] = {0};

	if (file == NULL || strcmp(file, "/omendb.so") != 0)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const ElfW(Dyn) *) (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
		switch (dynamic->d_tag)
		{
			case DT_SYMTAB: symbols = (const void *) dynamic->d_un.d_ptr; break;
			case DT_STRTAB: names = (const void *) dynamic->d_un.d_ptr; break;
			case DT_RELA: tables[0] = (const void *) dynamic->d_un.d_ptr; break;
			case DT_RELASZ: lengths[0] = dynamic->d_un.d_val; break;
			case DT_JMPREL: tables[1] = (const void *) dynamic->d_un.d_ptr; break;
			case DT_PLTRELSZ: lengths[1] = dynamic->d_un.d_val; break;
		}
	for (int table = 0; table < 2; table++)
		for (size_t i = 0; i < lengths[table] / sizeof(ElfW(Rela)); i++)
			hook(info->dlpi_addr, symbols, names, &tables[table][i]);
	return 1;
}

void		_PG_init(void);

void
_PG_init(void)
{
	main_thread = pthread_self();
	load_file("$libdir/omendb", false);
	dl_iterate_phdr(hook_library, NULL);
	if (hooked == 0)
		elog(ERROR, "omendb.so calls nothing");
}

PG_FUNCTION_INFO_V1(fault_arm);
Datum
fault_arm(PG_FUNCTION_ARGS)
{
	char	   *how = text_to_cstring(PG_GETARG_TEXT_PP(2));

	armed_at = PG_GETARG_INT64(1);
	cancels = strcmp(how, "cancel") == 0;
	seen = 0;
	where = NULL;
	strlcpy(armed_kind, text_to_cstring(PG_GETARG_TEXT_PP(0)), sizeof(armed_kind));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(fault_seen);
Datum
fault_seen(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(seen);
}

PG_FUNCTION_INFO_V1(fault_where);
Datum
fault_where(PG_FUNCTION_ARGS)
{
	armed_kind[0] = '\0';
	if (where == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(where));
}

static int
entries(const char *folder)
{
	DIR		   *opened = opendir(folder);
	int			count = 0;

	while (opened && readdir(opened))
		count++;
	if (opened)
		closedir(opened);
	return count - 2;
}

PG_FUNCTION_INFO_V1(fault_leaks);
Datum
fault_leaks(PG_FUNCTION_ARGS)
{
	StringInfoData leaks;
	int			pins = 0;

	initStringInfo(&leaks);
	for (int i = 0; i < NBuffers; i++)
		if (BUF_STATE_GET_REFCOUNT(pg_atomic_read_u32(&GetBufferDescriptor(i)->state)) > 0)
			pins++;
	if (pins > 0)
		appendStringInfo(&leaks, "%d pinned buffers ", pins);
	if (InterruptHoldoffCount > 0)
		appendStringInfo(&leaks, "interrupts held off %u times ", InterruptHoldoffCount);
	if (entries("/proc/self/task") > 1)
		appendStringInfo(&leaks, "%d threads ", entries("/proc/self/task"));
	if (entries("base/pgsql_tmp") > 0)
		appendStringInfo(&leaks, "%d temporary files ", entries("base/pgsql_tmp"));
	PG_RETURN_TEXT_P(cstring_to_text(leaks.data));
}

PG_FUNCTION_INFO_V1(fault_memory);
Datum
fault_memory(PG_FUNCTION_ARGS)
{
	struct mallinfo2 all = mallinfo2();

	PG_RETURN_INT64(all.uordblks + all.hblkhd);
}
