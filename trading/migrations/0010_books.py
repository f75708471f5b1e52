import django.db.models.deletion
from django.db import migrations, models

import trading.models.fields

KINDS = [("USER", "User"), ("FEES", "Fees"), ("CUSTODY", "Custody"), ("WALLET", "Wallet")]

# A closed day and a published root stay as they are; so do a tree's nodes, but a tree may go as a whole.
GUARDS = """
CREATE TRIGGER end_of_day_guard BEFORE UPDATE OR DELETE ON trading_endofday
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER end_of_day_truncate_guard BEFORE TRUNCATE ON trading_endofday EXECUTE FUNCTION refuse_change();
CREATE TRIGGER day_total_guard BEFORE UPDATE OR DELETE ON trading_daytotal
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER day_total_truncate_guard BEFORE TRUNCATE ON trading_daytotal EXECUTE FUNCTION refuse_change();
CREATE TRIGGER solvency_proof_guard BEFORE UPDATE OR DELETE ON trading_solvencyproof
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER solvency_proof_truncate_guard BEFORE TRUNCATE ON trading_solvencyproof
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER solvency_leaf_guard BEFORE UPDATE ON trading_solvencyleaf
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER solvency_level_guard BEFORE UPDATE ON trading_solvencylevel
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE trading_solvencylevel ALTER COLUMN nodes SET STORAGE EXTERNAL;
"""  # EXTERNAL: a node is cut out of its level without the level being unpacked


class Migration(migrations.Migration):
    dependencies = [("members", "0006_closing"), ("trading", "0009_terms")]

    operations = [
        migrations.CreateModel(
            name="EndOfDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("starts_at", models.DateTimeField(unique=True)),
                ("ends_at", models.DateTimeField(unique=True)),
                ("closed_at", models.DateTimeField()),
                ("closed_by", models.CharField(max_length=254)),
                (
                    "snapshot",
                    models.TextField(
                        help_text="PostgreSQL's snapshot of the closing: what came later is not in it"
                    ),
                ),
                ("digest", models.CharField(help_text="SHA-256 of the canonical report", max_length=64)),
                ("document", models.TextField(help_text="the signed report, as it was written to its file")),
            ],
            options={
                "verbose_name": "closed day",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ends_at__gt", models.F("starts_at")), ("closed_at__gt", models.F("ends_at"))
                        ),
                        name="end_of_day_was_over",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DayTotal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "day",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="totals",
                        to="trading.endofday",
                    ),
                ),
                (
                    "institution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.institution",
                    ),
                ),
                ("kind", models.CharField(choices=KINDS, max_length=10)),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="trading.asset"
                    ),
                ),
                ("postings", models.BigIntegerField()),
                ("debits", trading.models.fields.AmountField(decimal_places=18, max_digits=36)),
                ("credits", trading.models.fields.AmountField(decimal_places=18, max_digits=36)),
                ("balance", trading.models.fields.AmountField(decimal_places=18, max_digits=36)),
            ],
            options={
                "verbose_name": "total of a closed day",
                "verbose_name_plural": "totals of closed days",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "institution", "kind", "asset"), name="day_total_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SolvencyProof",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                (
                    "institution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.institution",
                    ),
                ),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="trading.asset"
                    ),
                ),
                ("taken_at", models.DateTimeField()),
                ("height", models.PositiveSmallIntegerField()),
                ("total", trading.models.fields.AmountField(decimal_places=18, max_digits=36)),
                ("root", models.CharField(max_length=64)),
                ("document", models.TextField(help_text="the signed root, as it was published")),
            ],
            options={
                "verbose_name": "proof of solvency",
                "verbose_name_plural": "proofs of solvency",
                "indexes": [
                    models.Index(fields=["institution", "asset", "-taken_at"], name="solvency_latest")
                ],
            },
        ),
        migrations.CreateModel(
            name="SolvencySecret",
            fields=[
                (
                    "proof",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="secret",
                        serialize=False,
                        to="trading.solvencyproof",
                    ),
                ),
                ("value", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="SolvencyLevel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "proof",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="levels",
                        to="trading.solvencyproof",
                    ),
                ),
                ("level", models.PositiveSmallIntegerField()),
                ("nodes", models.BinaryField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("proof", "level"), name="solvency_level_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="SolvencyLeaf",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "proof",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="leaves",
                        to="trading.solvencyproof",
                    ),
                ),
                (
                    "user",
                    trading.models.fields.LooseKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="members.user",
                    ),
                ),
                ("part", models.PositiveSmallIntegerField()),
                ("position", models.PositiveIntegerField()),
                ("amount", models.DecimalField(decimal_places=0, max_digits=36)),
            ],
            options={
                "verbose_name_plural": "solvency leaves",
                "constraints": [
                    models.UniqueConstraint(fields=("proof", "user", "part"), name="solvency_part_once"),
                    models.UniqueConstraint(fields=("proof", "position"), name="solvency_position_once"),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]
