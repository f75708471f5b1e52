"""Addresses of the trading API, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from trading.api import payments
from trading.api.balances import BalancesView, LedgerView
from trading.api.batch import BatchView
from trading.api.orders import CancelAfterView, OrdersView, OrderView
from trading.api.solvency import SolvencyView
from trading.api.symbols import SymbolsView
from trading.api.trades import MyTradesView, TradesView, TradeView

urlpatterns = [
    path("orders", OrdersView.as_view()),
    path("orders/batch", BatchView.as_view()),
    path("orders/cancel-after", CancelAfterView.as_view()),
    path("orders/<str:order_id>", OrderView.as_view()),
    path("trades", TradesView.as_view()),
    path("trades/my", MyTradesView.as_view()),
    path("trades/<str:trade_id>", TradeView.as_view()),
    path("symbols", SymbolsView.as_view()),
    path("balances", BalancesView.as_view()),
    path("ledger", LedgerView.as_view()),
    path("deposits", payments.DepositsView.as_view()),
    path("deposits/<str:deposit_id>", payments.OneDepositView.as_view()),
    path("withdrawals", payments.WithdrawalsView.as_view()),
    path("withdrawals/<str:withdrawal_id>", payments.OneWithdrawalView.as_view()),
    path("solvency", SolvencyView.as_view()),
]
