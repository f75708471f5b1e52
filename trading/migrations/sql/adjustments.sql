-- An adjustment moves money by the word of two people alone: the database looks for the word when it commits.
--
-- The check is deferred, so the approval, the row that names it, and the postings may come in any order within their
-- transaction. Its WHEN is all that other kinds of ledger transactions pay.
CREATE FUNCTION adjustment_is_approved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    approved record;
BEGIN
    SELECT adjusted.account_id, adjusted.contra_id, adjusted.amount INTO approved
      FROM trading_adjustment adjusted
      JOIN approvals_approval approval ON approval.id = adjusted.approval_id
      JOIN trading_account account ON account.id = adjusted.account_id
      JOIN trading_account contra ON contra.id = adjusted.contra_id
      JOIN trading_asset asset ON asset.id = account.asset_id
     WHERE adjusted.transaction_id = NEW.id AND approval.kind = 'ADJUSTMENT' AND approval.state = 'APPROVED'
       AND account.kind = 'USER' AND account.user_id::text = approval.payload ->> 'user'
       AND asset.code = approval.payload ->> 'asset' AND contra.asset_id = asset.id
       AND contra.kind = approval.payload ->> 'contra' AND contra.institution_id = account.institution_id
       AND adjusted.amount = (approval.payload ->> 'amount')::numeric;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'adjustment % has no approval that allows it', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'adjustment_is_approved';
    END IF;
    IF (SELECT count(*) <> 2 OR bool_or((account_id, amount) NOT IN
                   ((approved.account_id, approved.amount), (approved.contra_id, -approved.amount)))
          FROM trading_posting
         WHERE id >= NEW.id AND id < overlay(NEW.id::text PLACING 'ff' FROM 35)::uuid AND transaction_id = NEW.id) THEN
        RAISE EXCEPTION 'the postings of adjustment % are not what was approved', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'adjustment_is_approved';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER adjustment_is_approved AFTER INSERT ON trading_transaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind = 'ADJUSTMENT') EXECUTE FUNCTION adjustment_is_approved();

CREATE TRIGGER adjustment_guard BEFORE UPDATE OR DELETE ON trading_adjustment
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER truncate_guard BEFORE TRUNCATE ON trading_adjustment EXECUTE FUNCTION refuse_change();
