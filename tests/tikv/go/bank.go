package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"strconv"
	"time"

	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/txnkv/transaction"
)

const (
	amountMax  = 10
	errorPause = 100 * time.Millisecond
)

// transfer is printed when its commit was acknowledged, or when it may have been committed (Undetermined).
// FromBalance and ToBalance are what the transaction read.
type transfer struct {
	timestamps
	Name         string `json:"name"`
	From         int    `json:"from"`
	To           int    `json:"to"`
	Amount       int    `json:"amount"`
	FromBalance  int    `json:"fromBalance"`
	ToBalance    int    `json:"toBalance"`
	Undetermined bool   `json:"undetermined"`
}

// bank moves money between accounts, one transfer after the other, until standard input closes or the process is
// killed; it prints `{"id", "transfer"}` for each. Its layout, which the accounts must have before:
//
//	<prefix>a/0007         balance of account 7, decimal, never negative
//	<prefix>t/<worker>/12  "3 7 5": this transfer of the worker, from 3 to 7 of 5, written in the same transaction
func (c *client) bank(ctx context.Context, r request) (any, error) {
	if r.Accounts < 2 || r.Worker == "" {
		return nil, fmt.Errorf("bank needs a worker and two accounts")
	}
	conflicts, failures := 0, 0
	for number := 0; ; {
		select {
		case <-c.ended:
			return map[string]int{"transfers": number, "conflicts": conflicts, "failures": failures}, nil
		default:
		}
		t := transfer{Name: fmt.Sprintf("%s/%d", r.Worker, number), Amount: 1 + rand.Intn(amountMax)}
		t.From = rand.Intn(r.Accounts)
		t.To = (t.From + 1 + rand.Intn(r.Accounts-1)) % r.Accounts
		moved, err := c.transfer(ctx, r, &t)
		switch {
		case tikverr.IsErrWriteConflict(err):
			conflicts++
			continue
		case tikverr.IsErrorUndetermined(err):
			t.Undetermined = true
		case err != nil: // servers are being killed: the next attempt may find them alive
			failures++
			time.Sleep(errorPause)
			continue
		case !moved:
			continue
		}
		c.print(map[string]any{"id": r.ID, "transfer": t})
		number++ // an undetermined transfer keeps its name for itself
	}
}

// transfer completes t. False when the account has too little.
func (c *client) transfer(ctx context.Context, r request, t *transfer) (bool, error) {
	txn, err := c.begin(r)
	if err != nil {
		return false, err
	}
	from, to := accountKey(r.Prefix, t.From), accountKey(r.Prefix, t.To)
	if t.FromBalance, t.ToBalance, err = balances(ctx, txn, from, to); err != nil {
		return false, errorAfterRollback(txn, err)
	}
	if t.FromBalance < t.Amount {
		return false, txn.Rollback()
	}
	record := []byte(fmt.Sprintf("%d %d %d", t.From, t.To, t.Amount))
	for _, p := range []pair{
		{from, []byte(strconv.Itoa(t.FromBalance - t.Amount))},
		{to, []byte(strconv.Itoa(t.ToBalance + t.Amount))},
		{bytes.Join([][]byte{r.Prefix, []byte("t/" + t.Name)}, nil), record},
	} {
		if err := txn.Set(p.Key, p.Value); err != nil {
			return false, errorAfterRollback(txn, err)
		}
	}
	t.timestamps, err = commit(ctx, txn)
	return true, err
}

func balances(ctx context.Context, txn *transaction.KVTxn, from, to []byte) (int, int, error) {
	found, err := txn.BatchGet(ctx, [][]byte{from, to})
	if err != nil {
		return 0, 0, err
	}
	fromBalance, err := strconv.Atoi(string(found[string(from)]))
	if err != nil {
		return 0, 0, fmt.Errorf("balance of %q: %w", from, err)
	}
	toBalance, err := strconv.Atoi(string(found[string(to)]))
	if err != nil {
		return 0, 0, fmt.Errorf("balance of %q: %w", to, err)
	}
	return fromBalance, toBalance, nil
}

func accountKey(prefix []byte, account int) []byte {
	return append(bytes.Clone(prefix), fmt.Sprintf("a/%04d", account)...)
}
