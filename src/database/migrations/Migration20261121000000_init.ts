import { Migration } from '@mikro-orm/migrations';

export class Migration20261121000000_init extends Migration {
  override name = 'Migration20261121000000_init';

  override up(): void | Promise<void> {
    this.addSql(`create schema if not exists "operations";`);
    this.addSql(`create schema if not exists "catalogue";`);
    this.addSql(`create schema if not exists "learning";`);
    this.addSql(`create schema if not exists "accounts";`);
    this.addSql(`create schema if not exists "submissions";`);
    this.addSql(`create schema if not exists "reviews";`);
    this.addSql(`create schema if not exists "notifications";`);
    this.addSql(`create schema if not exists "progress";`);
    this.addSql(
      `create table "operations"."activity" ("id" uuid not null, "created_at" timestamptz(3) not null, "kind" varchar(100) not null, "actor_id" uuid null, "task_id" uuid null, "submission_id" uuid null, "data" jsonb not null, primary key ("id"));`,
    );
    this.addSql(`create index "activity_submission_id_index" on "operations"."activity" ("submission_id");`);
    this.addSql(`create index "activity_task_id_index" on "operations"."activity" ("task_id");`);

    this.addSql(
      `create table "operations"."audit" ("id" uuid not null, "created_at" timestamptz(3) not null, "action" varchar(100) not null, "actor_id" uuid null, "target_kind" varchar(50) not null, "target_id" uuid not null, "via" text not null, "data" jsonb not null, primary key ("id"));`,
    );
    this.addSql(`create index "audit_target_id_index" on "operations"."audit" ("target_id");`);

    this.addSql(
      `create table "catalogue"."courses" ("id" uuid not null, "created_at" timestamptz(3) not null, "slug" varchar(100) not null, "title" varchar(200) not null, "summary" text not null, "is_default" boolean not null, "starter_slug" varchar(100) not null, "remind_after_ms" bigint not null, "due_after_ms" bigint not null, "archived_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(`alter table "catalogue"."courses" add constraint "courses_slug_unique" unique ("slug");`);
    this.addSql(`create unique index "courses_one_default" on "catalogue"."courses" ("is_default") where "is_default";`);

    this.addSql(
      `create table "learning"."cohorts" ("id" uuid not null, "created_at" timestamptz(3) not null, "course_id" uuid not null, "name" varchar(200) not null, "is_default" boolean not null, "archived_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(`alter table "learning"."cohorts" add constraint "cohorts_course_id_name_unique" unique ("course_id", "name");`);

    this.addSql(
      `create table "catalogue"."exercises" ("id" uuid not null, "created_at" timestamptz(3) not null, "course_id" uuid not null, "slug" varchar(100) not null, "title" varchar(200) not null, "summary" text not null, "position" int not null, "kind" text not null, "language" text not null, "difficulty" text not null, "archived_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "catalogue"."exercises" add constraint "exercises_course_id_slug_unique" unique ("course_id", "slug");`,
    );

    this.addSql(
      `create table "catalogue"."exercise_revisions" ("id" uuid not null, "created_at" timestamptz(3) not null, "exercise_id" uuid not null, "number" int not null, "content_hash" varchar(64) not null, "statement" text not null, "xp" int not null, "checks" jsonb not null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "catalogue"."exercise_revisions" add constraint "exercise_revisions_exercise_id_number_unique" unique ("exercise_id", "number");`,
    );

    this.addSql(
      `create table "operations"."idempotency_keys" ("user_id" uuid not null, "route" varchar(200) not null, "key" varchar(200) not null, "body_hash" varchar(64) not null, "response" jsonb not null, "created_at" timestamptz(3) not null, primary key ("user_id", "route", "key"));`,
    );

    this.addSql(
      `create table "operations"."installation" ("id" uuid not null, "created_at" timestamptz(3) not null, primary key ("id"));`,
    );

    this.addSql(
      `create table "catalogue"."revision_files" ("id" uuid not null, "revision_id" uuid not null, "role" text not null, "path" varchar(400) not null, "content" text not null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "catalogue"."revision_files" add constraint "revision_files_revision_id_role_path_unique" unique ("revision_id", "role", "path");`,
    );

    this.addSql(
      `create table "accounts"."users" ("id" uuid not null, "created_at" timestamptz(3) not null, "email" varchar(320) not null, "name" varchar(200) not null, "password_hash" varchar(255) not null, "role" text not null, "disabled_at" timestamptz(3) null, "erased_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(`alter table "accounts"."users" add constraint "users_email_unique" unique ("email");`);

    this.addSql(
      `create table "accounts"."sessions" ("id" uuid not null, "created_at" timestamptz(3) not null, "user_id" uuid not null, "expires_at" timestamptz(3) not null, "revoked_at" timestamptz(3) null, primary key ("id"));`,
    );

    this.addSql(
      `create table "accounts"."refresh_tokens" ("id" uuid not null, "created_at" timestamptz(3) not null, "session_id" uuid not null, "token_hash" varchar(64) not null, "used_at" timestamptz(3) null, "replaced_by_id" uuid null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "accounts"."refresh_tokens" add constraint "refresh_tokens_token_hash_unique" unique ("token_hash");`,
    );
    this.addSql(
      `create unique index "refresh_tokens_one_live" on "accounts"."refresh_tokens" ("session_id") where "used_at" is null;`,
    );

    this.addSql(
      `create table "learning"."enrolments" ("id" uuid not null, "created_at" timestamptz(3) not null, "cohort_id" uuid not null, "user_id" uuid not null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "learning"."enrolments" add constraint "enrolments_cohort_id_user_id_unique" unique ("cohort_id", "user_id");`,
    );

    this.addSql(
      `create table "learning"."tasks" ("id" uuid not null, "created_at" timestamptz(3) not null, "enrolment_id" uuid not null, "exercise_id" uuid not null, "revision_id" uuid not null, "assignee_id" uuid not null, "status" text not null, "updated_at" timestamptz(3) not null, primary key ("id"));`,
    );
    this.addSql(`create index "tasks_assignee_id_index" on "learning"."tasks" ("assignee_id");`);
    this.addSql(
      `alter table "learning"."tasks" add constraint "tasks_enrolment_id_exercise_id_unique" unique ("enrolment_id", "exercise_id");`,
    );

    this.addSql(
      `create table "submissions"."submissions" ("id" uuid not null, "created_at" timestamptz(3) not null, "task_id" uuid not null, "student_id" uuid not null, "revision_id" uuid not null, "attempt_no" int not null, "counted" boolean null, "status" text not null, "stage" text not null, "conclusion" text null, "parked_reason" text null, "source" jsonb not null, "workflow_id" varchar(100) not null, "submitted_at" timestamptz(3) not null, "started_at" timestamptz(3) null, "answer_due_at" timestamptz(3) null, "closed_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_workflow_id_unique" unique ("workflow_id");`,
    );
    this.addSql(
      `create unique index "submissions_one_open_per_task" on "submissions"."submissions" ("task_id") where "closed_at" is null;`,
    );
    this.addSql(
      `create index "submissions_unstarted" on "submissions"."submissions" ("created_at") where "started_at" is null and "closed_at" is null;`,
    );
    this.addSql(`create index "submissions_student_id_index" on "submissions"."submissions" ("student_id");`);
    this.addSql(`create index "submissions_stage_submitted_at_index" on "submissions"."submissions" ("stage", "submitted_at");`);
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_task_id_attempt_no_unique" unique ("task_id", "attempt_no");`,
    );

    this.addSql(
      `create table "reviews"."reviews" ("id" uuid not null, "created_at" timestamptz(3) not null, "submission_id" uuid not null, "reviewer_id" uuid not null, "outcome" text not null, "comment" text not null, "commit" varchar(64) not null, "request_id" varchar(100) not null, "via" text not null, "superseded_by_id" uuid null, primary key ("id"));`,
    );
    this.addSql(`alter table "reviews"."reviews" add constraint "reviews_request_id_unique" unique ("request_id");`);
    this.addSql(
      `create unique index "reviews_one_current" on "reviews"."reviews" ("submission_id") where "superseded_by_id" is null;`,
    );

    this.addSql(
      `create table "notifications"."notifications" ("id" uuid not null, "created_at" timestamptz(3) not null, "user_id" uuid not null, "kind" text not null, "cause_id" uuid not null, "submission_id" uuid null, "read_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "notifications"."notifications" add constraint "notifications_user_id_kind_cause_id_unique" unique ("user_id", "kind", "cause_id");`,
    );

    this.addSql(
      `create table "notifications"."deliveries" ("id" uuid not null, "created_at" timestamptz(3) not null, "notification_id" uuid not null, "channel" text not null, "started_at" timestamptz(3) null, "delivered_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(`create index "deliveries_unstarted" on "notifications"."deliveries" ("created_at") where "started_at" is null;`);
    this.addSql(
      `alter table "notifications"."deliveries" add constraint "deliveries_notification_id_channel_unique" unique ("notification_id", "channel");`,
    );

    this.addSql(
      `create table "submissions"."check_runs" ("id" uuid not null, "created_at" timestamptz(3) not null, "submission_id" uuid not null, "revision_id" uuid not null, "run_no" int not null, "verdict" text not null, "sandbox_kind" varchar(20) not null, "sandbox_identity" text not null, "runs" jsonb not null, "lint_findings" jsonb not null, "started_at" timestamptz(3) not null, "finished_at" timestamptz(3) not null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "submissions"."check_runs" add constraint "check_runs_submission_id_revision_id_run_no_unique" unique ("submission_id", "revision_id", "run_no");`,
    );

    this.addSql(
      `create table "submissions"."test_case_results" ("id" uuid not null, "check_run_id" uuid not null, "position" int not null, "suite" text not null, "name" text not null, "outcome" text not null, "message" text not null, "time_ms" int not null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "submissions"."test_case_results" add constraint "test_case_results_check_run_id_position_unique" unique ("check_run_id", "position");`,
    );

    this.addSql(
      `create table "reviews"."decision_requests" ("id" uuid not null, "created_at" timestamptz(3) not null, "submission_id" uuid not null, "actor_id" uuid not null, "outcome" text not null, "comment" text not null, primary key ("id"));`,
    );

    this.addSql(
      `create table "accounts"."access_tokens" ("id" uuid not null, "created_at" timestamptz(3) not null, "user_id" uuid not null, "name" varchar(100) not null, "token_hash" varchar(64) not null, "expires_at" timestamptz(3) not null, "revoked_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(`alter table "accounts"."access_tokens" add constraint "access_tokens_token_hash_unique" unique ("token_hash");`);

    this.addSql(
      `create table "progress"."xp_entries" ("id" uuid not null, "created_at" timestamptz(3) not null, "student_id" uuid not null, "task_id" uuid not null, "amount" int not null, "cause_kind" text not null, "cause_id" uuid not null, "sequence" int not null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "progress"."xp_entries" add constraint "xp_entries_student_id_cause_kind_cause_id_sequence_unique" unique ("student_id", "cause_kind", "cause_id", "sequence");`,
    );

    this.addSql(
      `alter table "operations"."audit" add constraint "audit_via_check" check ("via" in ('api', 'temporal', 'system', 'command-line'));`,
    );

    this.addSql(
      `alter table "learning"."cohorts" add constraint "cohorts_course_id_foreign" foreign key ("course_id") references "catalogue"."courses" ("id");`,
    );

    this.addSql(
      `alter table "catalogue"."exercises" add constraint "exercises_course_id_foreign" foreign key ("course_id") references "catalogue"."courses" ("id");`,
    );
    this.addSql(`alter table "catalogue"."exercises" add constraint "exercises_kind_check" check ("kind" in ('project'));`);
    this.addSql(
      `alter table "catalogue"."exercises" add constraint "exercises_language_check" check ("language" in ('javascript', 'python'));`,
    );
    this.addSql(
      `alter table "catalogue"."exercises" add constraint "exercises_difficulty_check" check ("difficulty" in ('easy', 'medium', 'hard'));`,
    );

    this.addSql(
      `alter table "catalogue"."exercise_revisions" add constraint "exercise_revisions_exercise_id_foreign" foreign key ("exercise_id") references "catalogue"."exercises" ("id");`,
    );

    this.addSql(
      `alter table "catalogue"."revision_files" add constraint "revision_files_revision_id_foreign" foreign key ("revision_id") references "catalogue"."exercise_revisions" ("id");`,
    );
    this.addSql(
      `alter table "catalogue"."revision_files" add constraint "revision_files_role_check" check ("role" in ('starter', 'visible-test', 'hidden-test', 'configuration', 'solution'));`,
    );

    this.addSql(
      `alter table "accounts"."users" add constraint "users_role_check" check ("role" in ('CODING_STUDENT', 'ACADEMY_REVIEWER', 'INSTRUCTOR', 'SUPER_ADMIN'));`,
    );

    this.addSql(
      `alter table "accounts"."sessions" add constraint "sessions_user_id_foreign" foreign key ("user_id") references "accounts"."users" ("id");`,
    );

    this.addSql(
      `alter table "accounts"."refresh_tokens" add constraint "refresh_tokens_session_id_foreign" foreign key ("session_id") references "accounts"."sessions" ("id");`,
    );
    this.addSql(
      `alter table "accounts"."refresh_tokens" add constraint "refresh_tokens_replaced_by_id_foreign" foreign key ("replaced_by_id") references "accounts"."refresh_tokens" ("id") on delete set null;`,
    );

    this.addSql(
      `alter table "learning"."enrolments" add constraint "enrolments_cohort_id_foreign" foreign key ("cohort_id") references "learning"."cohorts" ("id");`,
    );
    this.addSql(
      `alter table "learning"."enrolments" add constraint "enrolments_user_id_foreign" foreign key ("user_id") references "accounts"."users" ("id");`,
    );

    this.addSql(
      `alter table "learning"."tasks" add constraint "tasks_enrolment_id_foreign" foreign key ("enrolment_id") references "learning"."enrolments" ("id");`,
    );
    this.addSql(
      `alter table "learning"."tasks" add constraint "tasks_exercise_id_foreign" foreign key ("exercise_id") references "catalogue"."exercises" ("id");`,
    );
    this.addSql(
      `alter table "learning"."tasks" add constraint "tasks_revision_id_foreign" foreign key ("revision_id") references "catalogue"."exercise_revisions" ("id");`,
    );
    this.addSql(
      `alter table "learning"."tasks" add constraint "tasks_assignee_id_foreign" foreign key ("assignee_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "learning"."tasks" add constraint "tasks_status_check" check ("status" in ('TODO', 'IN_PROGRESS', 'SUBMITTED', 'UNDER_REVIEW', 'APPROVED', 'REJECTED'));`,
    );

    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_task_id_foreign" foreign key ("task_id") references "learning"."tasks" ("id");`,
    );
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_student_id_foreign" foreign key ("student_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_revision_id_foreign" foreign key ("revision_id") references "catalogue"."exercise_revisions" ("id");`,
    );
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_status_check" check ("status" in ('IN_PROGRESS', 'SUBMITTED'));`,
    );
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_stage_check" check ("stage" in ('QUEUED', 'CHECKING', 'AWAITING_REVIEW', 'UNDER_REVIEW', 'PARKED', 'CLOSED'));`,
    );
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_conclusion_check" check ("conclusion" in ('approved', 'rejected', 'checks-failed', 'source-unavailable', 'cancelled', 'closed-by-admin'));`,
    );

    this.addSql(
      `alter table "reviews"."reviews" add constraint "reviews_submission_id_foreign" foreign key ("submission_id") references "submissions"."submissions" ("id");`,
    );
    this.addSql(
      `alter table "reviews"."reviews" add constraint "reviews_reviewer_id_foreign" foreign key ("reviewer_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "reviews"."reviews" add constraint "reviews_superseded_by_id_foreign" foreign key ("superseded_by_id") references "reviews"."reviews" ("id") on delete set null;`,
    );
    this.addSql(
      `alter table "reviews"."reviews" add constraint "reviews_outcome_check" check ("outcome" in ('APPROVED', 'REJECTED'));`,
    );
    this.addSql(`alter table "reviews"."reviews" add constraint "reviews_via_check" check ("via" in ('api', 'temporal'));`);

    this.addSql(
      `alter table "notifications"."notifications" add constraint "notifications_user_id_foreign" foreign key ("user_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "notifications"."notifications" add constraint "notifications_submission_id_foreign" foreign key ("submission_id") references "submissions"."submissions" ("id") on delete set null;`,
    );
    this.addSql(
      `alter table "notifications"."notifications" add constraint "notifications_kind_check" check ("kind" in ('welcome', 'already-registered', 'checks-failed', 'source-unavailable', 'closed-by-admin', 'in-review', 'approved', 'rejected', 'review-wanted', 'review-reminder', 'review-overdue'));`,
    );

    this.addSql(
      `alter table "notifications"."deliveries" add constraint "deliveries_notification_id_foreign" foreign key ("notification_id") references "notifications"."notifications" ("id");`,
    );
    this.addSql(
      `alter table "notifications"."deliveries" add constraint "deliveries_channel_check" check ("channel" in ('mail'));`,
    );

    this.addSql(
      `alter table "submissions"."check_runs" add constraint "check_runs_submission_id_foreign" foreign key ("submission_id") references "submissions"."submissions" ("id");`,
    );
    this.addSql(
      `alter table "submissions"."check_runs" add constraint "check_runs_revision_id_foreign" foreign key ("revision_id") references "catalogue"."exercise_revisions" ("id");`,
    );
    this.addSql(
      `alter table "submissions"."check_runs" add constraint "check_runs_verdict_check" check ("verdict" in ('accepted', 'wrong-answer', 'time-limit', 'memory-limit', 'output-limit', 'run-error', 'compile-error', 'check-failed'));`,
    );

    this.addSql(
      `alter table "submissions"."test_case_results" add constraint "test_case_results_check_run_id_foreign" foreign key ("check_run_id") references "submissions"."check_runs" ("id");`,
    );
    this.addSql(
      `alter table "submissions"."test_case_results" add constraint "test_case_results_suite_check" check ("suite" in ('visible', 'hidden'));`,
    );
    this.addSql(
      `alter table "submissions"."test_case_results" add constraint "test_case_results_outcome_check" check ("outcome" in ('passed', 'failed', 'skipped'));`,
    );

    this.addSql(
      `alter table "reviews"."decision_requests" add constraint "decision_requests_submission_id_foreign" foreign key ("submission_id") references "submissions"."submissions" ("id");`,
    );
    this.addSql(
      `alter table "reviews"."decision_requests" add constraint "decision_requests_actor_id_foreign" foreign key ("actor_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "reviews"."decision_requests" add constraint "decision_requests_outcome_check" check ("outcome" in ('APPROVED', 'REJECTED'));`,
    );

    this.addSql(
      `alter table "accounts"."access_tokens" add constraint "access_tokens_user_id_foreign" foreign key ("user_id") references "accounts"."users" ("id");`,
    );

    this.addSql(
      `alter table "progress"."xp_entries" add constraint "xp_entries_student_id_foreign" foreign key ("student_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "progress"."xp_entries" add constraint "xp_entries_task_id_foreign" foreign key ("task_id") references "learning"."tasks" ("id");`,
    );
    this.addSql(
      `alter table "progress"."xp_entries" add constraint "xp_entries_cause_kind_check" check ("cause_kind" in ('task'));`,
    );
  }

  override down(): void | Promise<void> {
    this.addSql(`alter table "learning"."cohorts" drop constraint "cohorts_course_id_foreign";`);
    this.addSql(`alter table "catalogue"."exercises" drop constraint "exercises_course_id_foreign";`);
    this.addSql(`alter table "learning"."enrolments" drop constraint "enrolments_cohort_id_foreign";`);
    this.addSql(`alter table "catalogue"."exercise_revisions" drop constraint "exercise_revisions_exercise_id_foreign";`);
    this.addSql(`alter table "learning"."tasks" drop constraint "tasks_exercise_id_foreign";`);
    this.addSql(`alter table "catalogue"."revision_files" drop constraint "revision_files_revision_id_foreign";`);
    this.addSql(`alter table "learning"."tasks" drop constraint "tasks_revision_id_foreign";`);
    this.addSql(`alter table "submissions"."submissions" drop constraint "submissions_revision_id_foreign";`);
    this.addSql(`alter table "submissions"."check_runs" drop constraint "check_runs_revision_id_foreign";`);
    this.addSql(`alter table "accounts"."sessions" drop constraint "sessions_user_id_foreign";`);
    this.addSql(`alter table "learning"."enrolments" drop constraint "enrolments_user_id_foreign";`);
    this.addSql(`alter table "learning"."tasks" drop constraint "tasks_assignee_id_foreign";`);
    this.addSql(`alter table "submissions"."submissions" drop constraint "submissions_student_id_foreign";`);
    this.addSql(`alter table "reviews"."reviews" drop constraint "reviews_reviewer_id_foreign";`);
    this.addSql(`alter table "notifications"."notifications" drop constraint "notifications_user_id_foreign";`);
    this.addSql(`alter table "reviews"."decision_requests" drop constraint "decision_requests_actor_id_foreign";`);
    this.addSql(`alter table "accounts"."access_tokens" drop constraint "access_tokens_user_id_foreign";`);
    this.addSql(`alter table "progress"."xp_entries" drop constraint "xp_entries_student_id_foreign";`);
    this.addSql(`alter table "accounts"."refresh_tokens" drop constraint "refresh_tokens_session_id_foreign";`);
    this.addSql(`alter table "accounts"."refresh_tokens" drop constraint "refresh_tokens_replaced_by_id_foreign";`);
    this.addSql(`alter table "learning"."tasks" drop constraint "tasks_enrolment_id_foreign";`);
    this.addSql(`alter table "submissions"."submissions" drop constraint "submissions_task_id_foreign";`);
    this.addSql(`alter table "progress"."xp_entries" drop constraint "xp_entries_task_id_foreign";`);
    this.addSql(`alter table "reviews"."reviews" drop constraint "reviews_submission_id_foreign";`);
    this.addSql(`alter table "notifications"."notifications" drop constraint "notifications_submission_id_foreign";`);
    this.addSql(`alter table "submissions"."check_runs" drop constraint "check_runs_submission_id_foreign";`);
    this.addSql(`alter table "reviews"."decision_requests" drop constraint "decision_requests_submission_id_foreign";`);
    this.addSql(`alter table "reviews"."reviews" drop constraint "reviews_superseded_by_id_foreign";`);
    this.addSql(`alter table "notifications"."deliveries" drop constraint "deliveries_notification_id_foreign";`);
    this.addSql(`alter table "submissions"."test_case_results" drop constraint "test_case_results_check_run_id_foreign";`);

    this.addSql(`drop table if exists "operations"."activity" cascade;`);
    this.addSql(`drop table if exists "operations"."audit" cascade;`);
    this.addSql(`drop table if exists "catalogue"."courses" cascade;`);
    this.addSql(`drop table if exists "learning"."cohorts" cascade;`);
    this.addSql(`drop table if exists "catalogue"."exercises" cascade;`);
    this.addSql(`drop table if exists "catalogue"."exercise_revisions" cascade;`);
    this.addSql(`drop table if exists "operations"."idempotency_keys" cascade;`);
    this.addSql(`drop table if exists "operations"."installation" cascade;`);
    this.addSql(`drop table if exists "catalogue"."revision_files" cascade;`);
    this.addSql(`drop table if exists "accounts"."users" cascade;`);
    this.addSql(`drop table if exists "accounts"."sessions" cascade;`);
    this.addSql(`drop table if exists "accounts"."refresh_tokens" cascade;`);
    this.addSql(`drop table if exists "learning"."enrolments" cascade;`);
    this.addSql(`drop table if exists "learning"."tasks" cascade;`);
    this.addSql(`drop table if exists "submissions"."submissions" cascade;`);
    this.addSql(`drop table if exists "reviews"."reviews" cascade;`);
    this.addSql(`drop table if exists "notifications"."notifications" cascade;`);
    this.addSql(`drop table if exists "notifications"."deliveries" cascade;`);
    this.addSql(`drop table if exists "submissions"."check_runs" cascade;`);
    this.addSql(`drop table if exists "submissions"."test_case_results" cascade;`);
    this.addSql(`drop table if exists "reviews"."decision_requests" cascade;`);
    this.addSql(`drop table if exists "accounts"."access_tokens" cascade;`);
    this.addSql(`drop table if exists "progress"."xp_entries" cascade;`);

    this.addSql(`drop schema if exists "operations";`);
    this.addSql(`drop schema if exists "catalogue";`);
    this.addSql(`drop schema if exists "learning";`);
    this.addSql(`drop schema if exists "accounts";`);
    this.addSql(`drop schema if exists "submissions";`);
    this.addSql(`drop schema if exists "reviews";`);
    this.addSql(`drop schema if exists "notifications";`);
    this.addSql(`drop schema if exists "progress";`);
  }
}
