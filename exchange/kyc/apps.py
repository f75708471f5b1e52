from django.apps import AppConfig


class KycConfig(AppConfig):
    name = "exchange.kyc"
    label = "kyc"
    verbose_name = "KYC"
