import { Migration } from '@mikro-orm/migrations';

export class Migration20261121150000_judge extends Migration {
  override name = 'Migration20261121150000_judge';

  override up(): void | Promise<void> {
    this.addSql(
      `create table "catalogue"."reference_measures" ("id" uuid not null, "created_at" timestamptz(3) not null, "revision_id" uuid not null, "language" text not null, "sandbox_identity" text not null, "cpu_time_ms" int not null, "memory_peak_bytes" bigint not null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "catalogue"."reference_measures" add constraint "reference_measures_revision_id_language_sandbox_identity_unique" unique ("revision_id", "language", "sandbox_identity");`,
    );

    // Until now all checks were those of projects, whose tests share the student's process.
    this.addSql(
      `update "catalogue"."exercise_revisions" set "checks" = "checks" || '{"kind": "project", "testStyle": "shared-process", "command": null, "rubric": {"quality": 40, "documentation": 30, "performance": 30}, "passPercent": null}' || jsonb_build_object('limits', "checks"->'limits' || '{"fileCount": 4096}', 'tests', jsonb_build_object('visible', "checks"->'tests'->'visible' || '{"points": 50}', 'hidden', "checks"->'tests'->'hidden' || '{"points": 50}'));`,
    );

    this.addSql(`alter table "catalogue"."exercises" drop constraint "exercises_kind_check";`);
    this.addSql(`alter table "catalogue"."exercises" drop constraint "exercises_language_check";`);
    this.addSql(
      `alter table "catalogue"."exercises" add constraint "exercises_kind_check" check ("kind" in ('project', 'program'));`,
    );
    this.addSql(
      `alter table "catalogue"."exercises" add constraint "exercises_language_check" check ("language" in ('javascript', 'typescript', 'python', 'java', 'c', 'cpp', 'go', 'rust'));`,
    );

    this.addSql(`alter table "catalogue"."revision_files" drop constraint "revision_files_role_check";`);
    this.addSql(
      `alter table "catalogue"."revision_files" add constraint "revision_files_role_check" check ("role" in ('starter', 'visible-test', 'hidden-test', 'configuration', 'solution', 'checker'));`,
    );

    this.addSql(
      `alter table "submissions"."check_runs" add "points" int not null default 0, add "max_points" int not null default 0, add "compiler_output" text null, add "tests_share_process" boolean not null default true, add "notes" jsonb not null default '[]', add "language" text not null default 'javascript', add "language_version" text not null default '', add "score" jsonb null;`,
    );
    this.addSql(
      `update "submissions"."check_runs" r set "language" = e."language" from "catalogue"."exercise_revisions" v join "catalogue"."exercises" e on e."id" = v."exercise_id" where v."id" = r."revision_id";`,
    );
    this.addSql(
      `alter table "submissions"."check_runs" alter column "points" drop default, alter column "max_points" drop default, alter column "tests_share_process" drop default, alter column "notes" drop default, alter column "language" drop default, alter column "language_version" drop default;`,
    );
    this.addSql(
      `alter table "submissions"."check_runs" add constraint "check_runs_language_check" check ("language" in ('javascript', 'typescript', 'python', 'java', 'c', 'cpp', 'go', 'rust'));`,
    );

    this.addSql(
      `alter table "submissions"."test_case_results" add "group_name" text not null default '', add "verdict" text null, add "diff" text null, add "hint" text not null default '', add "points" int not null default 0, add "max_points" int not null default 0, add "cpu_time_ms" int null, add "memory_peak_bytes" bigint null;`,
    );
    this.addSql(`update "submissions"."test_case_results" set "group_name" = "suite";`);
    this.addSql(
      `alter table "submissions"."test_case_results" alter column "group_name" drop default, alter column "hint" drop default, alter column "points" drop default, alter column "max_points" drop default;`,
    );
    this.addSql(
      `alter table "submissions"."test_case_results" add constraint "test_case_results_verdict_check" check ("verdict" in ('accepted', 'wrong-answer', 'time-limit', 'memory-limit', 'output-limit', 'run-error', 'compile-error', 'check-failed'));`,
    );

    this.addSql(`alter table "submissions"."trial_runs" add "output" jsonb not null default '[]';`);
    this.addSql(`alter table "submissions"."trial_runs" alter column "output" drop default;`);

    this.addSql(
      `alter table "catalogue"."reference_measures" add constraint "reference_measures_revision_id_foreign" foreign key ("revision_id") references "catalogue"."exercise_revisions" ("id");`,
    );
    this.addSql(
      `alter table "catalogue"."reference_measures" add constraint "reference_measures_language_check" check ("language" in ('javascript', 'typescript', 'python', 'java', 'c', 'cpp', 'go', 'rust'));`,
    );
  }
}
