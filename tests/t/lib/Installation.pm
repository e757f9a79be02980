# A copy of the server's installation, whose extension scripts a test may change.
#
#   my $installation = Installation::copy($folder);
#   my $node = PostgreSQL::Test::Cluster->new('update', install_path => $installation->{path});
#   $installation->write('omendb--0.1.0--0.2.0.sql', $script);
package Installation;

use strict;
use warnings;
use PostgreSQL::Test::Utils;

# Copies what pg_config speaks of. A server finds its files relative to itself.
sub copy {
  my ($folder) = @_;
  my %at;
  for my $what ('bindir', 'sharedir', 'pkglibdir', 'libdir') {
    chomp($at{$what} = `pg_config --$what`);
  }
  my $prefix = common($at{bindir}, $at{sharedir}, $at{pkglibdir});
  system('cp', '-R', '--no-dereference', $prefix, "$folder/installation") == 0 or die "$prefix cannot be copied";
  my $self = bless { folder => $folder }, __PACKAGE__;
  my $bin = moved($at{bindir}, $prefix, "$folder/installation");
  ($self->{path} = $bin) =~ s,/bin$,,;
  $self->{extensions} = moved($at{sharedir}, $prefix, "$folder/installation") . '/extension';
  return $self;
}

sub common {
  my ($first, @others) = @_;
  my $prefix = $first;
  $prefix =~ s,/[^/]*$,, while grep { index("$_/", "$prefix/") != 0 } @others;
  return $prefix;
}

sub moved {
  my ($path, $from, $to) = @_;
  return $to . substr $path, length $from;
}

sub script {
  my ($self, $version) = @_;
  return slurp_file("$self->{extensions}/omendb--$version.sql");
}

sub write {
  my ($self, $name, $contents) = @_;
  open my $file, '>', "$self->{extensions}/$name" or die "$name: $!";
  print $file $contents;
  close $file or die $!;
}

# Versions whose scripts were frozen when they were released: sql/released/omendb--VERSION.sql.
sub released { return map { m,omendb--([^/]+)\.sql$, } sort glob "$ENV{OMENDB_SQL}/released/omendb--*.sql"; }

# Lets a released version be created.
sub release {
  my ($self, $version) = @_;
  $self->write("omendb--$version.sql", slurp_file("$ENV{OMENDB_SQL}/released/omendb--$version.sql"));
}

# The parts of an extension, a line each, with all that can be told apart and no numbers of one database.
sub schema_query {
  return <<'SQL';
WITH members AS (SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
  WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'omendb')
SELECT line FROM (
  SELECT 'member ' || pg_describe_object(classid, objid, 0) || ': ' || coalesce(obj_description(objid, classid::regclass::text::name), '') FROM members
  UNION ALL
  SELECT 'function ' || p.oid::regprocedure || ' ' || to_jsonb(p) - '{oid,pronamespace,proowner,prolang,prorettype,proargtypes,proallargtypes,prosupport,proargdefaults}'::text[]
      || format_type(prorettype, NULL) || coalesce(pg_get_expr(proargdefaults, 0), '') || pg_get_function_arguments(p.oid) || pg_get_function_result(p.oid)
    FROM pg_proc p JOIN members ON classid = 'pg_proc'::regclass AND objid = p.oid
  UNION ALL
  SELECT 'view ' || c.oid::regclass || ' ' || coalesce(relacl::text, '') || pg_get_viewdef(c.oid)
    FROM pg_class c JOIN members ON classid = 'pg_class'::regclass AND objid = c.oid
  UNION ALL
  SELECT 'aggregate ' || a.aggfnoid::regprocedure || ' ' || to_jsonb(a) - '{aggfnoid,aggtranstype,aggmtranstype,aggsortop}'::text[] || format_type(aggtranstype, NULL)
    FROM pg_aggregate a JOIN members ON classid = 'pg_proc'::regclass AND objid = a.aggfnoid
  UNION ALL
  SELECT 'type ' || t.oid::regtype || ' ' || to_jsonb(t) - '{oid,typnamespace,typowner,typarray,typelem,typrelid,typbasetype}'::text[] || format_type(typelem, NULL)
    FROM pg_type t JOIN members ON classid = 'pg_type'::regclass AND objid = t.oid
  UNION ALL
  SELECT 'operator ' || o.oid::regoperator || ' ' || concat_ws(' ', oprcanhash, oprcanmerge, oprcode, oprrest, oprjoin, oprcom::regoperator, oprnegate::regoperator, oprresult::regtype)
    FROM pg_operator o JOIN members ON classid = 'pg_operator'::regclass AND objid = o.oid
  UNION ALL
  SELECT 'cast ' || castsource::regtype || ' as ' || casttarget::regtype || ' ' || concat_ws(' ', castfunc::regprocedure, castcontext, castmethod)
    FROM pg_cast c JOIN members ON classid = 'pg_cast'::regclass AND objid = c.oid
  UNION ALL
  SELECT 'class ' || opcname || ' ' || concat_ws(' ', amname, opcdefault, opcintype::regtype, opckeytype::regtype)
    FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod JOIN members ON classid = 'pg_opclass'::regclass AND objid = c.oid
  UNION ALL
  SELECT 'family operator ' || opfname || ' ' || concat_ws(' ', amopstrategy, amoppurpose, amopopr::regoperator,
      (SELECT s.opfname FROM pg_opfamily s WHERE s.oid = amopsortfamily))
    FROM pg_amop JOIN pg_opfamily f ON f.oid = amopfamily JOIN members ON classid = 'pg_opfamily'::regclass AND objid = f.oid
  UNION ALL
  SELECT 'family function ' || opfname || ' ' || concat_ws(' ', amprocnum, amproc::regprocedure, amproclefttype::regtype, amprocrighttype::regtype)
    FROM pg_amproc JOIN pg_opfamily f ON f.oid = amprocfamily JOIN members ON classid = 'pg_opfamily'::regclass AND objid = f.oid
  UNION ALL
  SELECT 'access method ' || amname || ' ' || concat_ws(' ', amhandler, amtype)
    FROM pg_am a JOIN members ON classid = 'pg_am'::regclass AND objid = a.oid
) s (line) ORDER BY line COLLATE "C"
SQL
}

1;
