"""What Stripe's API takes and the sandbox does not build; written by `scripts/unbuilt_params.py`, not by hand.

Each entry names parameters (or words, for parameters that take one of a few) and the places where they are real: a
call, and the hash or parameter inside it, between semicolons. `[]` is any place of a list.
"""

PARAMS: tuple[tuple[str, str], ...] = (
    (
        "account",
        """POST /v1/checkout/sessions subscription_data[invoice_settings][issuer]; POST /v1/invoices automatic_tax[liability];
        POST /v1/invoices issuer; POST /v1/invoices/{id} automatic_tax[liability]; POST /v1/invoices/{id} issuer; POST
        /v1/subscription_schedules default_settings[automatic_tax][liability]; POST /v1/subscription_schedules
        default_settings[invoice_settings][issuer]; POST /v1/subscription_schedules phases[][automatic_tax][liability]; POST
        /v1/subscription_schedules phases[][invoice_settings][issuer]; POST /v1/subscription_schedules/{id}
        default_settings[automatic_tax][liability]; POST /v1/subscription_schedules/{id}
        default_settings[invoice_settings][issuer]; POST /v1/subscription_schedules/{id} phases[][automatic_tax][liability];
        POST /v1/subscription_schedules/{id} phases[][invoice_settings][issuer]; POST /v1/subscriptions
        automatic_tax[liability]; POST /v1/subscriptions invoice_settings[issuer]; POST /v1/subscriptions/{id}
        automatic_tax[liability]; POST /v1/subscriptions/{id} invoice_settings[issuer]""",
    ),
    (
        "account bank_account customer cvc_update person pii",
        "POST /v1/tokens",
    ),
    (
        "account_holder_name account_holder_type owner",
        "POST /v1/customers/{customer}/sources/{id}",
    ),
    (
        "account_tax_ids",
        """POST /v1/checkout/sessions subscription_data[invoice_settings]; POST /v1/subscription_schedules
        default_settings[invoice_settings]; POST /v1/subscription_schedules phases[][invoice_settings]; POST
        /v1/subscription_schedules/{id} default_settings[invoice_settings]; POST /v1/subscription_schedules/{id}
        phases[][invoice_settings]; POST /v1/subscriptions invoice_settings; POST /v1/subscriptions/{id} invoice_settings""",
    ),
    (
        """account_tax_ids application_fee_amount customer_account default_tax_rates effective_at from_invoice number
        on_behalf_of rendering shipping_cost shipping_details transfer_data""",
        "POST /v1/invoices",
    ),
    (
        """account_tax_ids application_fee_amount default_tax_rates effective_at number on_behalf_of rendering shipping_cost
        shipping_details transfer_data""",
        "POST /v1/invoices/{id}",
    ),
    (
        """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum boleto
        card_present cashapp crypto eps fpx giropay grabpay interac_present kakao_pay klarna konbini kr_card link mb_way
        mobilepay multibanco naver_pay nz_bank_account oxxo pay_by_bank payco paynow paypal paypay payto pix promptpay
        revolut_pay samsung_pay satispay scalapay sequra sofort sunbit swish twint upi us_bank_account wechat_pay zip""",
        """POST /v1/payment_intents payment_method_options; POST /v1/payment_intents/{id} payment_method_options; POST
        /v1/payment_intents/{id}/confirm payment_method_options""",
    ),
    (
        """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum boleto
        cashapp crypto custom customer eps fpx giropay grabpay interac_present kakao_pay klarna konbini kr_card link mb_way
        mobilepay multibanco naver_pay nz_bank_account oxxo pay_by_bank payco payment_method paynow paypal paypay payto pix
        promptpay radar_options revolut_pay samsung_pay satispay scalapay sequra sofort sunbit swish twint upi us_bank_account
        wechat_pay zip""",
        "POST /v1/payment_methods",
    ),
    (
        """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum boleto
        cashapp crypto eps fpx giropay grabpay interac_present kakao_pay klarna konbini kr_card link mb_way mobilepay
        multibanco naver_pay nz_bank_account oxxo pay_by_bank payco paynow paypal paypay payto pix promptpay radar_options
        revolut_pay samsung_pay satispay scalapay sequra sofort sunbit swish twint upi us_bank_account wechat_pay zip""",
        """POST /v1/payment_intents payment_method_data; POST /v1/payment_intents/{id} payment_method_data; POST
        /v1/payment_intents/{id}/confirm payment_method_data; POST /v1/setup_intents payment_method_data; POST
        /v1/setup_intents/{id} payment_method_data; POST /v1/setup_intents/{id}/confirm payment_method_data""",
    ),
    (
        """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie blik boleto
        cashapp crypto customer_balance demo_pay eps fpx giropay grabpay ideal kakao_pay klarna konbini kr_card link mobilepay
        multibanco naver_pay oxxo p24 pay_by_bank payco paynow paypal payto pix revolut_pay samsung_pay satispay scalapay
        sepa_debit sequra sofort sunbit swish twint upi us_bank_account wechat_pay""",
        "POST /v1/checkout/sessions payment_method_options",
    ),
    (
        "acss_debit amazon_pay bacs_debit bizum blik card_present klarna link paypal payto pix upi us_bank_account",
        """POST /v1/setup_intents payment_method_options; POST /v1/setup_intents/{id} payment_method_options; POST
        /v1/setup_intents/{id}/confirm payment_method_options""",
    ),
    (
        "acss_debit bancontact billie blik customer_balance konbini payto pix sepa_debit upi us_bank_account",
        """POST /v1/invoices payment_settings[payment_method_options]; POST /v1/invoices/{id}
        payment_settings[payment_method_options]; POST /v1/subscriptions payment_settings[payment_method_options]; POST
        /v1/subscriptions/{id} payment_settings[payment_method_options]""",
    ),
    (
        "after_expiration customer_account on_behalf_of",
        "POST /v1/billing_portal/sessions",
    ),
    (
        """allowed_payment_method_types amount_details amount_to_confirm confirmation_token excluded_payment_method_types hooks
        payment_details radar_options""",
        "POST /v1/payment_intents/{id}/confirm",
    ),
    (
        "allowed_payment_method_types confirmation_token",
        "POST /v1/setup_intents/{id}/confirm",
    ),
    (
        """amount_details application_fee_amount confirmation_token customer_account excluded_payment_method_types hooks
        on_behalf_of payment_details payment_method_configuration radar_options transfer_data""",
        "POST /v1/payment_intents",
    ),
    (
        """amount_details application_fee_amount customer_account excluded_payment_method_types hooks payment_details
        payment_method_configuration transfer_data""",
        "POST /v1/payment_intents/{id}",
    ),
    (
        "amount_details application_fee_amount hooks payment_details transfer_data",
        "POST /v1/payment_intents/{id}/capture; POST /v1/payment_intents/{id}/increment_authorization",
    ),
    (
        "appeal enhanced_evidence",
        "POST /v1/disputes/{id} evidence",
    ),
    (
        "application_fee application_fee_amount destination on_behalf_of radar_options transfer_data",
        "POST /v1/charges",
    ),
    (
        "application_fee application_fee_amount transfer_data",
        "POST /v1/charges/{id}/capture",
    ),
    (
        "application_fee_amount on_behalf_of transfer_data",
        "POST /v1/checkout/sessions payment_intent_data",
    ),
    (
        """application_fee_percent backdate_start_date billing_schedules billing_thresholds customer_account default_tax_rates
        on_behalf_of pending_invoice_item_interval transfer_data""",
        "POST /v1/subscriptions",
    ),
    (
        """application_fee_percent billing_schedules billing_thresholds default_tax_rates on_behalf_of
        pending_invoice_item_interval transfer_data""",
        "POST /v1/subscriptions/{id}",
    ),
    (
        "application_fee_percent billing_thresholds default_tax_rates on_behalf_of transfer_data",
        "POST /v1/subscription_schedules phases[]; POST /v1/subscription_schedules/{id} phases[]",
    ),
    (
        "application_fee_percent billing_thresholds on_behalf_of transfer_data",
        "POST /v1/subscription_schedules default_settings; POST /v1/subscription_schedules/{id} default_settings",
    ),
    (
        "application_fee_percent default_tax_rates on_behalf_of pending_invoice_item_interval transfer_data",
        "POST /v1/checkout/sessions subscription_data",
    ),
    (
        """attach_to_self confirmation_token customer_account excluded_payment_method_types flow_directions on_behalf_of
        payment_method_configuration single_use""",
        "POST /v1/setup_intents",
    ),
    (
        "attach_to_self customer_account",
        "GET /v1/setup_intents",
    ),
    (
        "attach_to_self customer_account excluded_payment_method_types flow_directions payment_method_configuration",
        "POST /v1/setup_intents/{id}",
    ),
    (
        "automatic_tax customer_account",
        "GET /v1/subscriptions",
    ),
    (
        "automatic_tax customer_account customer_details issuer on_behalf_of schedule schedule_details",
        "POST /v1/invoices/create_preview",
    ),
    (
        "billing_schedules default_tax_rates pause resume_at start_date",
        "POST /v1/invoices/create_preview subscription_details",
    ),
    (
        "billing_thresholds clear_usage current_trial",
        "POST /v1/invoices/create_preview subscription_details[items][]; POST /v1/subscriptions/{id} items[]",
    ),
    (
        "billing_thresholds current_trial",
        "POST /v1/subscription_items; POST /v1/subscriptions items[]",
    ),
    (
        "billing_thresholds current_trial off_session",
        "POST /v1/subscription_items/{id}",
    ),
    (
        "billing_thresholds price_data tax_rates",
        "POST /v1/subscription_schedules phases[][items][]; POST /v1/subscription_schedules/{id} phases[][items][]",
    ),
    (
        """capture_method cvc_token installments mandate_options moto network request_extended_authorization request_multicapture
        request_overcapture require_cvc_recollection setup_credential_usage statement_descriptor_suffix_kana
        statement_descriptor_suffix_kanji stored_credential_usage three_d_secure""",
        """POST /v1/payment_intents payment_method_options[card]; POST /v1/payment_intents/{id} payment_method_options[card];
        POST /v1/payment_intents/{id}/confirm payment_method_options[card]""",
    ),
    (
        """capture_method installments request_extended_authorization request_incremental_authorization request_multicapture
        request_overcapture restrictions setup_future_usage statement_descriptor_suffix_kana statement_descriptor_suffix_kanji""",
        "POST /v1/checkout/sessions payment_method_options[card]",
    ),
    (
        "cash_balance tax_id_data validate",
        "POST /v1/customers",
    ),
    (
        "cash_balance validate",
        "POST /v1/customers/{id}",
    ),
    (
        "collected_information line_items payment_intent_data shipping_options",
        "POST /v1/checkout/sessions/{id}",
    ),
    (
        "currency customer origin",
        "POST /v1/refunds",
    ),
    (
        "currency_options",
        """POST /v1/checkout/sessions shipping_options[][shipping_rate_data][fixed_amount]; POST /v1/coupons; POST
        /v1/coupons/{id}; POST /v1/prices/{id}; POST /v1/promotion_codes restrictions; POST /v1/shipping_rates fixed_amount""",
    ),
    (
        "currency_options custom_unit_amount",
        "POST /v1/products default_price_data",
    ),
    (
        "currency_options custom_unit_amount tiers tiers_mode transform_quantity",
        "POST /v1/prices",
    ),
    (
        "custom_fields rendering_options",
        "POST /v1/customers invoice_settings; POST /v1/customers/{id} invoice_settings",
    ),
    (
        "customer",
        "POST /v1/test_helpers/test_clocks",
    ),
    (
        "customer_account",
        """GET /v1/checkout/sessions; GET /v1/credit_notes; GET /v1/invoiceitems; GET /v1/invoices; GET /v1/payment_intents; GET
        /v1/payment_methods; GET /v1/promotion_codes; GET /v1/subscription_schedules; POST /v1/payment_methods/{id}/attach;
        POST /v1/promotion_codes""",
    ),
    (
        "customer_account managed_payments optional_items payment_method_data",
        "POST /v1/checkout/sessions",
    ),
    (
        "customer_account pause_schedules",
        "POST /v1/subscription_schedules",
    ),
    (
        "customer_account quantity_decimal tax_code",
        "POST /v1/invoiceitems",
    ),
    (
        "default_mandate",
        "POST /v1/invoices payment_settings; POST /v1/invoices/{id} payment_settings",
    ),
    (
        "discountable discounts period price_data tax_rates",
        """POST /v1/subscription_schedules phases[][add_invoice_items][]; POST /v1/subscription_schedules/{id}
        phases[][add_invoice_items][]""",
    ),
    (
        "discountable discounts period tax_rates",
        "POST /v1/subscriptions add_invoice_items[]; POST /v1/subscriptions/{id} add_invoice_items[]",
    ),
    (
        "duration",
        """POST /v1/billing_portal/configurations features[subscription_pause]; POST /v1/billing_portal/configurations/{id}
        features[subscription_pause]""",
    ),
    (
        "feedback_option",
        "DELETE /v1/subscriptions/{id} cancellation_details; POST /v1/subscriptions/{id} cancellation_details",
    ),
    (
        "feedback_options",
        """POST /v1/billing_portal/configurations features[subscription_cancel][cancellation_reason]; POST
        /v1/billing_portal/configurations/{id} features[subscription_cancel][cancellation_reason]""",
    ),
    (
        "fixed_amount",
        "POST /v1/shipping_rates/{id}",
    ),
    (
        "installments",
        """POST /v1/invoices payment_settings[payment_method_options][card]; POST /v1/invoices/{id}
        payment_settings[payment_method_options][card]""",
    ),
    (
        "intended_submission_method",
        "POST /v1/disputes/{id}",
    ),
    (
        "invoiceitem quantity_decimal tax_code",
        "POST /v1/invoices/create_preview invoice_items[]",
    ),
    (
        "invoicing_rules price_data pricing quantity_decimal tax_behavior tax_code tax_rates unit_amount_decimal",
        "POST /v1/invoiceitems/{id}",
    ),
    (
        "mandate",
        "POST /v1/invoices/{id}/pay",
    ),
    (
        "mandate_options",
        """POST /v1/payment_intents payment_method_options[blik]; POST /v1/payment_intents/{id} payment_method_options[blik];
        POST /v1/payment_intents/{id}/confirm payment_method_options[blik]""",
    ),
    (
        "mandate_options moto network setup_credential_usage three_d_secure",
        """POST /v1/setup_intents payment_method_options[card]; POST /v1/setup_intents/{id} payment_method_options[card]; POST
        /v1/setup_intents/{id}/confirm payment_method_options[card]""",
    ),
    (
        "mandate_options network",
        """POST /v1/subscriptions payment_settings[payment_method_options][card]; POST /v1/subscriptions/{id}
        payment_settings[payment_method_options][card]""",
    ),
    (
        "meter",
        "POST /v1/prices recurring",
    ),
    (
        "meter tiers tiers_mode transform_usage",
        "POST /v1/plans",
    ),
    (
        "meter usage_type",
        "GET /v1/prices recurring",
    ),
    (
        "networks",
        "POST /v1/payment_methods card; POST /v1/payment_methods/{id} card; POST /v1/tokens card",
    ),
    (
        "on_behalf_of",
        "POST /v1/checkout/sessions setup_intent_data",
    ),
    (
        "pause_schedules",
        "POST /v1/subscription_schedules/{id}",
    ),
    (
        "payment_method_configuration",
        """POST /v1/billing_portal/configurations features[payment_method_update]; POST /v1/billing_portal/configurations/{id}
        features[payment_method_update]""",
    ),
    (
        "payment_record",
        "GET /v1/invoice_payments payment; POST /v1/invoices/{id}/attach_payment",
    ),
    (
        "payment_record_refund",
        "GET /v1/credit_notes/preview refunds[]; GET /v1/credit_notes/preview/lines refunds[]; POST /v1/credit_notes refunds[]",
    ),
    (
        "quantity_decimal tax_amounts tax_rates",
        """POST /v1/invoices/{id}/add_lines lines[]; POST /v1/invoices/{id}/lines/{line}; POST /v1/invoices/{id}/update_lines
        lines[]""",
    ),
    (
        "restrictions",
        "POST /v1/promotion_codes/{id}",
    ),
    (
        "shipping_cost",
        "GET /v1/credit_notes/preview; GET /v1/credit_notes/preview/lines; POST /v1/credit_notes",
    ),
    (
        "subscription_pause",
        "POST /v1/billing_portal/sessions flow_data",
    ),
    (
        "tax_amounts tax_rates",
        "GET /v1/credit_notes/preview lines[]; GET /v1/credit_notes/preview/lines lines[]; POST /v1/credit_notes lines[]",
    ),
    (
        "tax_details",
        """POST /v1/checkout/sessions line_items[][price_data][product_data]; POST /v1/invoices/{id}/add_lines
        lines[][price_data][product_data]; POST /v1/invoices/{id}/lines/{line} price_data[product_data]; POST
        /v1/invoices/{id}/update_lines lines[][price_data][product_data]; POST /v1/prices product_data; POST /v1/products;
        POST /v1/products/{id}""",
    ),
    (
        "tax_rates",
        "POST /v1/checkout/sessions line_items[]",
    ),
    (
        "timestamp",
        "POST /v1/invoices/create_preview subscription_details[billing_cycle_anchor]",
    ),
    (
        "us_bank_account",
        "POST /v1/payment_methods/{id}",
    ),
    (
        "validate",
        "POST /v1/customers/{id}/sources",
    ),
)  # fmt: skip

WORDS: tuple[tuple[str, str], ...] = (
    (
        "account",
        """POST /v1/checkout/sessions subscription_data[invoice_settings][issuer][type]; POST /v1/invoices
        automatic_tax[liability][type]; POST /v1/invoices issuer[type]; POST /v1/invoices/{id} automatic_tax[liability][type];
        POST /v1/invoices/{id} issuer[type]; POST /v1/subscription_schedules default_settings[automatic_tax][liability][type];
        POST /v1/subscription_schedules default_settings[invoice_settings][issuer][type]; POST /v1/subscription_schedules
        phases[][automatic_tax][liability][type]; POST /v1/subscription_schedules phases[][invoice_settings][issuer][type];
        POST /v1/subscription_schedules/{id} default_settings[automatic_tax][liability][type]; POST
        /v1/subscription_schedules/{id} default_settings[invoice_settings][issuer][type]; POST /v1/subscription_schedules/{id}
        phases[][automatic_tax][liability][type]; POST /v1/subscription_schedules/{id}
        phases[][invoice_settings][issuer][type]; POST /v1/subscriptions automatic_tax[liability][type]; POST
        /v1/subscriptions invoice_settings[issuer][type]; POST /v1/subscriptions/{id} automatic_tax[liability][type]; POST
        /v1/subscriptions/{id} invoice_settings[issuer][type]""",
    ),
    (
        """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum
        boku_promptpay boleto capchase_pay card_present cashapp check_scan click_to_pay crypto demo_pay duitnow
        dummy_auth_push dummy_passthrough_card edenred eps fpx gcash getbalance gift_card giropay gopay grabpay
        id_bank_transfer interac_present kakao_pay klarna knet konbini kr_card kr_market kriya mb_way mobilepay momo mondu
        multibanco naver_pay netbanking ng_bank ng_bank_transfer ng_card ng_market ng_ussd ng_wallet nz_bank_account octopus
        oxxo paper_check pay_by_bank payco paynow paypal paypay payto pix promptpay qris rechnung revolut_pay samsung_pay
        satispay scalapay sequra shop_pay shopeepay sofort south_korea_market stripe_balance sunbit swish tamara test_pay
        touch_n_go truemoney twint upi us_bank_account us_cash_voucher vipps wechat_pay wero zip""",
        """POST /v1/payment_intents allowed_payment_method_types[]; POST /v1/payment_intents/{id} allowed_payment_method_types[];
        POST /v1/setup_intents allowed_payment_method_types[]; POST /v1/setup_intents/{id} allowed_payment_method_types[]""",
    ),
    (
        """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum boleto
        cashapp crypto custom eps fpx giropay grabpay kakao_pay klarna konbini kr_card mb_way mobilepay multibanco naver_pay
        nz_bank_account oxxo pay_by_bank payco paynow paypal paypay payto pix promptpay revolut_pay samsung_pay satispay
        scalapay sequra sofort sunbit swish twint upi us_bank_account wechat_pay zip""",
        "GET /v1/customers/{id}/payment_methods type; GET /v1/payment_methods type; POST /v1/payment_methods type",
    ),
    (
        """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum boleto
        cashapp crypto customer_balance eps fpx giropay grabpay kakao_pay klarna konbini kr_card mb_way mobilepay multibanco
        naver_pay nz_bank_account oxxo pay_by_bank payco paynow paypal paypay payto pix promptpay revolut_pay samsung_pay
        satispay scalapay sequra sofort sunbit swish twint upi us_bank_account wechat_pay zip""",
        "POST /v1/checkout/sessions allowed_payment_method_types[]",
    ),
    (
        """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum boleto
        cashapp crypto eps fpx giropay grabpay kakao_pay klarna konbini kr_card mb_way mobilepay multibanco naver_pay
        nz_bank_account oxxo pay_by_bank payco paynow paypal paypay payto pix promptpay revolut_pay samsung_pay satispay
        scalapay sequra sofort sunbit swish twint upi us_bank_account wechat_pay zip""",
        """POST /v1/payment_intents payment_method_data[type]; POST /v1/payment_intents/{id} payment_method_data[type]; POST
        /v1/payment_intents/{id}/confirm payment_method_data[type]; POST /v1/setup_intents payment_method_data[type]; POST
        /v1/setup_intents/{id} payment_method_data[type]; POST /v1/setup_intents/{id}/confirm payment_method_data[type]""",
    ),
    (
        "customer_update subscription_pause",
        "POST /v1/billing_portal/sessions flow_data[type]",
    ),
    (
        "elements form",
        "POST /v1/checkout/sessions ui_mode",
    ),
    (
        "none renew",
        "POST /v1/subscription_schedules end_behavior; POST /v1/subscription_schedules/{id} end_behavior",
    ),
    (
        "off_session",
        """POST /v1/payment_intents payment_method_options[blik][setup_future_usage]; POST /v1/payment_intents/{id}
        payment_method_options[blik][setup_future_usage]; POST /v1/payment_intents/{id}/confirm
        payment_method_options[blik][setup_future_usage]""",
    ),
    (
        "payment_record_refund",
        """GET /v1/credit_notes/preview refunds[][type]; GET /v1/credit_notes/preview/lines refunds[][type]; POST
        /v1/credit_notes refunds[][type]""",
    ),
    (
        "tiered",
        "POST /v1/plans billing_scheme; POST /v1/prices billing_scheme",
    ),
    (
        "timestamp",
        "POST /v1/invoices/create_preview subscription_details[billing_cycle_anchor][type]",
    ),
)  # fmt: skip
