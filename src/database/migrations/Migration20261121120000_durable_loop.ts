import { Migration } from '@mikro-orm/migrations';

export class Migration20261121120000_durable_loop extends Migration {
  override name = 'Migration20261121120000_durable_loop';

  override up(): void | Promise<void> {
    this.addSql(
      `create table "operations"."stream_tickets" ("id" uuid not null, "created_at" timestamptz(3) not null, "user_id" uuid not null, "session_id" uuid not null, "submission_id" uuid not null, "token_hash" varchar(64) not null, "expires_at" timestamptz(3) not null, "used_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(
      `alter table "operations"."stream_tickets" add constraint "stream_tickets_token_hash_unique" unique ("token_hash");`,
    );

    this.addSql(
      `create table "submissions"."trial_runs" ("id" uuid not null, "created_at" timestamptz(3) not null, "user_id" uuid not null, "revision_id" uuid not null, "request" jsonb not null, "status" text not null, "results" jsonb not null, "problem" text null, "finished_at" timestamptz(3) null, primary key ("id"));`,
    );
    this.addSql(`create index "trial_runs_user_id_created_at_index" on "submissions"."trial_runs" ("user_id", "created_at");`);
    this.addSql(`create index "trial_runs_created_at_index" on "submissions"."trial_runs" ("created_at");`);
    this.addSql(
      `create or replace function "submissions"."trial_runs_trial_run_tell_fn"() returns trigger as $$ begin perform pg_notify('trial_run_events', new.id::text); return new; end; $$ language plpgsql;`,
    );
    this.addSql(
      `create trigger "trial_run_tell" AFTER UPDATE on "submissions"."trial_runs" for each ROW execute function "submissions"."trial_runs_trial_run_tell_fn"();`,
    );

    this.addSql(
      `create table "reviews"."requests" ("id" uuid not null, "created_at" timestamptz(3) not null, "kind" text not null, "submission_id" uuid not null, "actor_id" uuid not null, "body" jsonb not null, primary key ("id"));`,
    );

    this.addSql(
      `create table "reviews"."overrides" ("id" uuid not null, "created_at" timestamptz(3) not null, "task_id" uuid not null, "actor_id" uuid not null, "status" text not null, "assignee_id" uuid null, "submission_id" uuid null, "reason" text not null, "via" text not null, "started_at" timestamptz(3) null, "applied_at" timestamptz(3) null, "trace_id" varchar(32) null, primary key ("id"));`,
    );
    this.addSql(
      `create unique index "overrides_one_pending_per_task" on "reviews"."overrides" ("task_id") where "applied_at" is null;`,
    );
    this.addSql(`create index "overrides_unstarted" on "reviews"."overrides" ("created_at") where "started_at" is null;`);

    this.addSql(
      `insert into "reviews"."requests" select "id", "created_at", 'decide', "submission_id", "actor_id", jsonb_build_object('outcome', "outcome", 'comment', "comment") from "reviews"."decision_requests";`,
    );
    this.addSql(`drop table if exists "reviews"."decision_requests" cascade;`);

    this.addSql(`alter table "reviews"."reviews" drop constraint "reviews_superseded_by_id_foreign";`);
    this.addSql(
      `alter table "reviews"."reviews" add constraint "reviews_superseded_by_id_foreign" foreign key ("superseded_by_id") references "reviews"."reviews" ("id") on delete set null deferrable initially deferred;`,
    );

    this.addSql(`create index "audit_action_index" on "operations"."audit" ("action");`);
    this.addSql(`create index "check_runs_finished_at_index" on "submissions"."check_runs" ("finished_at");`);
    this.addSql(
      `create index "deliveries_undelivered" on "notifications"."deliveries" ("created_at") where "delivered_at" is null;`,
    );

    this.addSql(`drop index "operations"."activity_submission_id_index";`);
    this.addSql(`alter table "operations"."activity" add "sequence" int null;`);
    this.addSql(
      `alter table "operations"."activity" add constraint "activity_submission_id_sequence_unique" unique ("submission_id", "sequence");`,
    );

    this.addSql(
      `create or replace function "operations"."activity_activity_tell_fn"() returns trigger as $$ begin perform pg_notify('submission_events', new.submission_id::text); return new; end; $$ language plpgsql;`,
    );
    this.addSql(
      `create trigger "activity_tell" AFTER INSERT on "operations"."activity" for each ROW when ((new.sequence IS NOT NULL)) execute function "operations"."activity_activity_tell_fn"();`,
    );

    this.addSql(`alter table "catalogue"."courses" add "claim_lease_ms" bigint not null default 1800000;`);
    this.addSql(`alter table "catalogue"."courses" alter column "claim_lease_ms" drop default;`);

    this.addSql(
      `alter table "learning"."tasks" add "repository_id" uuid null, add "repo_url" text null, add "version" int not null default 1;`,
    );
    this.addSql(`update "learning"."tasks" set "repository_id" = "id";`);
    this.addSql(`alter table "learning"."tasks" alter column "repository_id" set not null;`);
    this.addSql(`alter table "learning"."tasks" add constraint "tasks_repository_id_unique" unique ("repository_id");`);

    this.addSql(
      `alter table "submissions"."submissions" add "parked_class" text null, add "draft" jsonb null, add "workflow_run_no" int not null default 1, add "check_run_id" uuid not null default gen_random_uuid(), add "claimed_by_id" uuid null, add "lease_until" timestamptz(3) null, add "last_sequence" int not null default 0, add "trace_id" varchar(32) null;`,
    );
    this.addSql(
      `alter table "submissions"."submissions" alter column "workflow_run_no" drop default, alter column "check_run_id" drop default, alter column "last_sequence" drop default;`,
    );
    this.addSql(
      `update "submissions"."submissions" s set "check_run_id" = r."id" from "submissions"."check_runs" r where r."submission_id" = s."id" and r."run_no" = 1;`,
    );
    this.addSql(`drop index "submissions"."submissions_unstarted";`);
    this.addSql(
      `create index "submissions_unstarted" on "submissions"."submissions" ("created_at") where "started_at" is null and "closed_at" is null and "status" = 'SUBMITTED';`,
    );
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_claimed_by_id_foreign" foreign key ("claimed_by_id") references "accounts"."users" ("id") on delete set null;`,
    );
    this.addSql(`alter table "submissions"."submissions" alter column "source" drop not null;`);
    this.addSql(`alter table "submissions"."submissions" alter column "stage" drop not null;`);
    this.addSql(`alter table "submissions"."submissions" alter column "submitted_at" drop not null;`);
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_check_run_id_unique" unique ("check_run_id");`,
    );
    this.addSql(
      `alter table "submissions"."submissions" add constraint "submissions_parked_class_check" check ("parked_class" in ('transient', 'permanent'));`,
    );

    this.addSql(`alter table "notifications"."notifications" drop constraint "notifications_kind_check";`);
    this.addSql(`alter table "notifications"."notifications" add "task_id" uuid null;`);
    this.addSql(
      `alter table "notifications"."notifications" add constraint "notifications_task_id_foreign" foreign key ("task_id") references "learning"."tasks" ("id") on delete set null;`,
    );
    this.addSql(
      `alter table "notifications"."notifications" add constraint "notifications_kind_check" check ("kind" in ('welcome', 'already-registered', 'checks-failed', 'source-unavailable', 'closed-by-admin', 'in-review', 'approved', 'rejected', 'review-wanted', 'review-reminder', 'review-overdue', 'overridden', 'task-assigned'));`,
    );

    this.addSql(
      `alter table "notifications"."deliveries" add "failed_at" timestamptz(3) null, add "last_error" text null, add "workflow_run_no" int not null default 1, add "trace_id" varchar(32) null;`,
    );
    this.addSql(`alter table "notifications"."deliveries" alter column "workflow_run_no" drop default;`);

    this.addSql(
      `alter table "submissions"."trial_runs" add constraint "trial_runs_user_id_foreign" foreign key ("user_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "submissions"."trial_runs" add constraint "trial_runs_revision_id_foreign" foreign key ("revision_id") references "catalogue"."exercise_revisions" ("id");`,
    );
    this.addSql(
      `alter table "submissions"."trial_runs" add constraint "trial_runs_status_check" check ("status" in ('QUEUED', 'RUNNING', 'DONE', 'ERROR'));`,
    );

    this.addSql(
      `alter table "reviews"."requests" add constraint "requests_submission_id_foreign" foreign key ("submission_id") references "submissions"."submissions" ("id");`,
    );
    this.addSql(
      `alter table "reviews"."requests" add constraint "requests_actor_id_foreign" foreign key ("actor_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "reviews"."requests" add constraint "requests_kind_check" check ("kind" in ('decide', 'claim', 'release', 'cancel', 'redrive', 'close'));`,
    );

    this.addSql(
      `alter table "reviews"."overrides" add constraint "overrides_task_id_foreign" foreign key ("task_id") references "learning"."tasks" ("id");`,
    );
    this.addSql(
      `alter table "reviews"."overrides" add constraint "overrides_actor_id_foreign" foreign key ("actor_id") references "accounts"."users" ("id");`,
    );
    this.addSql(
      `alter table "reviews"."overrides" add constraint "overrides_assignee_id_foreign" foreign key ("assignee_id") references "accounts"."users" ("id") on delete set null;`,
    );
    this.addSql(
      `alter table "reviews"."overrides" add constraint "overrides_submission_id_foreign" foreign key ("submission_id") references "submissions"."submissions" ("id") on delete set null;`,
    );
    this.addSql(
      `alter table "reviews"."overrides" add constraint "overrides_status_check" check ("status" in ('TODO', 'IN_PROGRESS', 'APPROVED', 'REJECTED'));`,
    );
    this.addSql(`alter table "reviews"."overrides" add constraint "overrides_via_check" check ("via" in ('api', 'temporal'));`);
  }
}
